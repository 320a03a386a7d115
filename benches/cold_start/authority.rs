//! A certificate authority that the binary under test believes in, without a line in the function for it.
//!
//! The function trusts the public roots that are compiled into it, and nothing that its environment says. So the benchmark
//! measures a copy of the very binary that would be deployed, in which the public key of one root, 256 bytes, is
//! replaced by the benchmark's own. Everything else, and so every size and every count, is production's.

use std::{error::Error, fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// The root that lends its name: the one above Secrets Manager's certificates, with an RSA key of 2048 bits.
const LENDER: [(DnType, &str); 3] =
    [(DnType::CountryName, "US"), (DnType::OrganizationName, "Amazon"), (DnType::CommonName, "Amazon Root CA 1")];
/// The modulus in bytes, and the public exponent behind it: `INTEGER 65537`.
const MODULUS: usize = 256;
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];

/// The root, and a server's chain of a leaf and an intermediate, as AWS and TikTok send it.
pub struct Authority {
    root: String,
    modulus: Vec<u8>,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let (key, params) = (rsa_key()?, authority(&LENDER)?);
        let modulus = modulus(key.public_key_raw())?.to_vec();
        let root = params.self_signed(&key)?.pem();
        let root_issuer = Issuer::new(params, key);

        let (key, params) = (rsa_key()?, authority(&[(DnType::CommonName, "Benchmark Intermediate")])?);
        let intermediate = params.signed_by(&key, &root_issuer)?;
        let issuer = Issuer::new(params, key);

        let key = rsa_key()?;
        let leaf = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), CertificateDer::from(intermediate.der().to_vec())], key)?;
        Ok(Self { root, modulus, server: Arc::new(server) })
    }

    /// The root certificate as PEM, for runtimes that read theirs from a file.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The TLS configuration with which clients trust a server.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// Copies a binary and puts this authority in the place of the root that lends its name.
    pub fn copy_trusting(&self, binary: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
        let mut content = fs::read(binary)?;
        let name = LENDER[2].1.as_bytes();
        let lender = webpki_roots::TLS_SERVER_ROOTS.iter().find(|root| root.subject.ends_with(name));
        let lender = lender.ok_or("webpki-roots does not have the root that the benchmark replaces")?;
        let theirs = modulus(lender.subject_public_key_info.as_ref())?;
        let places: Vec<usize> =
            content.windows(MODULUS).enumerate().filter_map(|(at, part)| (part == theirs).then_some(at)).collect();
        let &[place] = places.as_slice() else {
            return Err(format!("the root's key is {} times in {}, not once", places.len(), binary.display()).into());
        };
        content[place..place + MODULUS].copy_from_slice(&self.modulus);
        fs::write(copy, content)?;
        // What was unpacked from a zip file may have lost its permissions.
        Ok(fs::set_permissions(copy, fs::Permissions::from_mode(0o755))?)
    }
}

/// A key as AWS's certificates have it. rcgen makes none, openssl does.
fn rsa_key() -> Result<KeyPair, Box<dyn Error>> {
    let options = ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let made = Command::new("openssl").args(options).output().map_err(|error| format!("openssl: {error}"))?;
    Ok(KeyPair::from_pem_and_sign_algo(&String::from_utf8(made.stdout)?, &PKCS_RSA_SHA256)?)
}

/// The modulus at the end of an encoded RSA key.
fn modulus(key: &[u8]) -> Result<&[u8], Box<dyn Error>> {
    let key = key.strip_suffix(&EXPONENT).ok_or("not an RSA key with the usual exponent")?;
    Ok(&key[key.len() - MODULUS..])
}

fn authority(name: &[(DnType, &str)]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // By it OpenSSL tells this root from the real one of the same name.
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in name {
        // As the real root spells it: chains are followed by the bytes of the name.
        params.distinguished_name.push(kind.clone(), DnValue::PrintableString((*value).try_into()?));
    }
    Ok(params)
}
