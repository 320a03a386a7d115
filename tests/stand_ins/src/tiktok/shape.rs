//! The form of answers. TikTok's answers differ between endpoints, versions and samples, and a client must read all
//! forms.

use serde_json::{Map, Value, json};

use super::grant::{Advertiser, Flow, Tokens};
use super::records::ApiError;

/// The place of `request_id` in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestId {
    /// Beside `code`.
    #[default]
    Top,
    /// Inside `data`.
    InsideData,
    /// Nowhere.
    Absent,
}

/// The `refresh_token` in the answer to a refresh. Values other than `Present` need a refresh token that stays the
/// same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshTokenField {
    /// The token.
    #[default]
    Present,
    /// Nothing.
    Omitted,
    /// An empty string.
    Empty,
}

/// The shape of every answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a variation that exists on its own at TikTok")]
pub struct Shape {
    /// The `message` of a success; none leaves it out.
    pub message: Option<String>,
    /// The place of the `request_id`.
    pub request_id: RequestId,
    /// True if the header `X-TT-LOGID` is sent.
    pub log_id: bool,
    /// The name of the access token's lifetime: `expires_in`, `expires`; none leaves it out.
    pub expires_in: Option<&'static str>,
    /// The name of the refresh token's lifetime: `refresh_token_expires_in`, `refresh_expires_in`, `refresh_expires`.
    pub refresh_token_expires_in: Option<&'static str>,
    /// The value of the field `refresh_token`.
    pub refresh_token: RefreshTokenField,
    /// True if lifetimes are strings of digits.
    pub numbers_as_strings: bool,
    /// True if the tokens are beside `code` instead of under `data`.
    pub tokens_at_top: bool,
    /// True if the scope is an array of numbers instead of a string with commas.
    pub scope_as_numbers: bool,
    /// True if advertiser ids are numbers instead of strings.
    pub ids_as_numbers: bool,
    /// The number of advertisers on a page. `None` if the list has no pages, as TikTok documents it.
    pub page_size: Option<usize>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            message: Some("OK".to_owned()),
            request_id: RequestId::Top,
            log_id: true,
            expires_in: Some("expires_in"),
            refresh_token_expires_in: Some("refresh_token_expires_in"),
            refresh_token: RefreshTokenField::Present,
            numbers_as_strings: false,
            tokens_at_top: false,
            scope_as_numbers: false,
            ids_as_numbers: false,
            page_size: None,
        }
    }
}

impl Shape {
    /// The answer of a token endpoint.
    pub(super) fn tokens(&self, tokens: &Tokens, request_id: &str) -> Value {
        let fields = self.token_fields(tokens);
        if !self.tokens_at_top {
            return self.success(Value::Object(fields), request_id);
        }
        let mut answer = self.success(json!({}), request_id);
        answer.as_object_mut().expect("an envelope is an object").extend(fields);
        answer
    }

    /// A page of the answer of `oauth2/advertiser/get/`, the first being 1.
    pub(super) fn advertisers(&self, advertisers: &[Advertiser], page: usize, request_id: &str) -> Value {
        let item =
            |Advertiser { id, name }: &Advertiser| json!({ "advertiser_id": self.id(id), "advertiser_name": name });
        let Some(size) = self.page_size else {
            return self.success(json!({ "list": advertisers.iter().map(item).collect::<Vec<_>>() }), request_id);
        };
        let list: Vec<_> = advertisers.iter().skip((page.max(1) - 1) * size).take(size).map(item).collect();
        let (total_number, total_page) = (advertisers.len(), advertisers.len().div_ceil(size));
        let info = json!({ "page": page, "page_size": size, "total_number": total_number, "total_page": total_page });
        self.success(json!({ "list": list, "page_info": info }), request_id)
    }

    /// The answer of `advertiser/info/`, with all fields or the `wanted` ones.
    pub(super) fn info(&self, advertisers: &[Advertiser], wanted: Option<&[String]>, request_id: &str) -> Value {
        let item = |Advertiser { id, name }: &Advertiser| {
            let mut item = json!({
                "advertiser_id": self.id(id), "name": name, "currency": "EUR", "country": "DE",
                "display_timezone": "Europe/Berlin", "timezone": "Etc/GMT-1", "status": "STATUS_ENABLE",
                "owner_bc_id": self.id("7000000000000000999"),
                // Seconds, and always a number: the Singer tap computes with it.
                "create_time": 1_600_000_000,
            });
            if let (Some(wanted), Some(fields)) = (wanted, item.as_object_mut()) {
                fields.retain(|field, _| wanted.contains(field));
            }
            item
        };
        self.success(json!({ "list": advertisers.iter().map(item).collect::<Vec<_>>() }), request_id)
    }

    /// An answer with code 0.
    pub(super) fn success(&self, data: Value, request_id: &str) -> Value {
        self.envelope(0, self.message.as_deref(), data, request_id)
    }

    /// An answer with another code, still HTTP 200.
    pub(super) fn error(&self, error: &ApiError, request_id: &str) -> Value {
        self.envelope(error.code, Some(&error.message), json!({}), request_id)
    }

    fn envelope(&self, code: u32, message: Option<&str>, mut data: Value, request_id: &str) -> Value {
        if self.request_id == RequestId::InsideData {
            data["request_id"] = json!(request_id);
        }
        let mut answer = json!({ "code": code, "data": data });
        if let Some(message) = message {
            answer["message"] = json!(message);
        }
        if self.request_id == RequestId::Top {
            answer["request_id"] = json!(request_id);
        }
        answer
    }

    fn token_fields(&self, tokens: &Tokens) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("access_token", json!(tokens.access_token));
        put("scope", self.scope(&tokens.scope));
        match (self.refresh_token, &tokens.refresh_token) {
            (RefreshTokenField::Present, Some(token)) => drop(put("refresh_token", json!(token))),
            (RefreshTokenField::Empty, Some(_)) => drop(put("refresh_token", json!(""))),
            _ => {}
        }
        let lifetimes =
            [(self.expires_in, tokens.expires_in), (self.refresh_token_expires_in, tokens.refresh_token_expires_in)];
        for (name, lifetime) in lifetimes.into_iter().filter_map(|(name, lifetime)| name.zip(lifetime)) {
            put(name, self.number(lifetime.as_secs()));
        }
        match tokens.flow {
            Flow::Business => {
                put("advertiser_ids", tokens.advertiser_ids.iter().map(|id| self.id(id)).collect());
            }
            Flow::TtUser => {
                put("token_type", json!("Bearer"));
                put("open_id", json!(format!("open-id-{}", tokens.grant)));
            }
        }
        fields
    }

    pub(super) fn scope(&self, scope: &[u64]) -> Value {
        if self.scope_as_numbers {
            return json!(scope);
        }
        json!(scope.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
    }

    fn number(&self, number: u64) -> Value {
        if self.numbers_as_strings { json!(number.to_string()) } else { json!(number) }
    }

    fn id(&self, id: &str) -> Value {
        match id.parse::<u64>() {
            Ok(number) if self.ids_as_numbers => json!(number),
            _ => json!(id),
        }
    }
}
