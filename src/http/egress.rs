//! The way out of a restricted network: a proxy and additional root certificates.
//!
//! Input: environment variables. Output: the settings of the HTTP clients. Errors: an invalid proxy URL, or a
//! certificate file that cannot be used.

use std::{fmt, fs};

use reqwest::{NoProxy, Proxy};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use url::Url;

use crate::error::{Error, Kind};

/// The proxy and the certificate file. The file is read when a client is created.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Egress {
    /// The proxy for HTTPS requests. It opens a tunnel with `CONNECT`, so TLS ends at the service.
    proxy: Option<Url>,
    /// The hosts that are reached without the proxy.
    no_proxy: Option<String>,
    /// The variable that names the certificate file, and the file.
    roots: Option<(&'static str, String)>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL of a proxy can contain a password, so only its host is shown.
        let proxy = self.proxy.as_ref().and_then(Url::host_str);
        f.debug_struct("Egress").field("proxy", &proxy).field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Egress {
    /// Reads the variables of curl and the AWS SDKs. As with curl, the lowercase name has priority.
    ///
    /// # Errors
    /// The problem of the proxy URL, without the URL.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let proxy = value("https_proxy").or_else(|| value("HTTPS_PROXY")).map(|text| proxy_url(&text)).transpose()?;
        let no_proxy = value("no_proxy").or_else(|| value("NO_PROXY"));
        let roots = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"].into_iter().find_map(|name| Some((name, value(name)?)));
        Ok(Self { proxy, no_proxy, roots })
    }

    /// Returns the proxy of a client.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>, reqwest::Error> {
        let no_proxy = || self.no_proxy.as_deref().and_then(NoProxy::from_string);
        self.proxy.as_ref().map(|url| Ok(Proxy::https(url.as_str())?.no_proxy(no_proxy()))).transpose()
    }

    /// Adds the certificates of the file to the public ones.
    pub(super) fn add_roots(&self, store: &mut RootCertStore) -> Result<(), Error> {
        let Some((name, path)) = &self.roots else { return Ok(()) };
        let wrong = |what: String| {
            Error::new(Kind::InvalidConfiguration, format!("{name} names '{path}', {what}.")).advise(
                "Put the root certificates there as PEM, for example in a Lambda layer, or remove the variable.",
            )
        };
        let pem = fs::read(path).map_err(|error| wrong(format!("which cannot be read ({})", error.kind())))?;
        let before = store.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| wrong("which is not PEM".to_owned()))?;
            store.add(certificate).map_err(|_| wrong("which holds a certificate that cannot be used".to_owned()))?;
        }
        if store.len() == before { Err(wrong("which holds no certificate".to_owned())) } else { Ok(()) }
    }
}

fn proxy_url(text: &str) -> Result<Url, String> {
    // Like curl, a host and port without a scheme are an HTTP proxy.
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or_else(|| "HTTPS_PROXY is not the URL of a proxy, such as http://proxy.internal:3128".to_owned())
}
