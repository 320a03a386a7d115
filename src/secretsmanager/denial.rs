//! The policy that denied a request, from AWS's [access denied
//! message](https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html).
//!
//! Input: the message. Output: the policy type and the advice that fits it. A message about a missing permission of the
//! role is no `Denial`: the general advice fits that.

/// A denial that a permission of the function's role does not lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    policy: Policy,
    /// True for an explicit deny, false for a missing allow.
    is_explicit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Resource,
    ServiceControl,
    ResourceControl,
    Boundary,
    Endpoint,
    Session,
    Identity,
    /// The message does not name the policy type.
    Unnamed,
}

impl Policy {
    const ALL: [Self; 7] = [
        Self::Resource,
        Self::ServiceControl,
        Self::ResourceControl,
        Self::Boundary,
        Self::Endpoint,
        Self::Session,
        Self::Identity,
    ];

    /// Returns the type's name in AWS's message, in lower case.
    const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource-based policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::Boundary => "permissions boundary",
            Self::Endpoint => "vpc endpoint policy",
            Self::Session => "session policy",
            Self::Identity => "identity-based policy",
            Self::Unnamed => "policy",
        }
    }
}

impl Denial {
    /// Parses a message. Returns `None` if the role only lacks the permission.
    pub fn of(message: &str) -> Option<Self> {
        let message = message.to_ascii_lowercase();
        let is_explicit =
            ["explicit deny", "explicitly denied", "explicitly denies"].iter().any(|it| message.contains(it));
        let policy = Policy::ALL.into_iter().find(|policy| message.contains(policy.name())).unwrap_or(Policy::Unnamed);
        // If the identity or the resource policy does not allow a request, the other one may.
        let is_lifted_by_a_grant = matches!(policy, Policy::Identity | Policy::Resource | Policy::Unnamed);
        (is_explicit || !is_lifted_by_a_grant).then_some(Self { policy, is_explicit })
    }

    /// Returns the end of a sentence about a denial.
    pub fn by_whom(self) -> String {
        let policy = match self.policy {
            Policy::Endpoint => "VPC endpoint policy",
            policy => policy.name(),
        };
        match (self.is_explicit, self.policy) {
            (true, Policy::Unnamed) => " by an explicit deny".to_owned(),
            (true, Policy::Identity) => format!(" by an explicit deny in an {policy}"),
            (true, _) => format!(" by an explicit deny in a {policy}"),
            (false, _) => format!(", since no {policy} allows it"),
        }
    }

    /// Returns the advice.
    pub fn advice(self, secret: &str, action: &str, about_kms: bool) -> String {
        let place = match self.policy {
            Policy::Resource if about_kms => "the policy of the secret's KMS key".to_owned(),
            Policy::Resource => {
                format!("the secret's resource policy (aws secretsmanager get-resource-policy --secret-id {secret})")
            }
            Policy::ServiceControl => "the service control policy of your AWS organization".to_owned(),
            Policy::ResourceControl => "the resource control policy of your AWS organization".to_owned(),
            Policy::Boundary => "the permissions boundary of the function's role".to_owned(),
            Policy::Endpoint => "the policy of the VPC endpoint that the function's subnets use".to_owned(),
            Policy::Session => "the session policy of the function's credentials".to_owned(),
            Policy::Identity => "the policies of the function's role".to_owned(),
            Policy::Unnamed => "the policies of the role, the secret, its KMS key and your AWS organization".to_owned(),
        };
        let who = match self.policy {
            Policy::ServiceControl | Policy::ResourceControl => "Ask the administrators of the organization to do so. ",
            _ => "",
        };
        if self.is_explicit {
            format!(
                "Remove the Deny statement for {action} from {place}, or except the function's role from it. {who}No other policy overrides a Deny."
            )
        } else {
            format!("Allow {action} in {place}. {who}The role's own policies are not enough.")
        }
    }
}
