//! A network with a proxy, and one that inspects TLS.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use nix::unistd::getpid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use stand_ins::{World, wire::listen};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::support::{BINARY, SHORT, Scenario, assert_failed, outcome, refresh, strict};

const TIKTOK: &str = "business-api.tiktok.com";
const AWS: &str = "secretsmanager.eu-west-1.amazonaws.com";

/// A certificate authority that only the readers of its file know.
struct Authority {
    file: PathBuf,
    tls: TlsAcceptor,
}

impl Authority {
    fn new() -> Self {
        let (key, mut params) = (KeyPair::generate().expect("a key"), CertificateParams::default());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root");
        let (issuer, key) = (Issuer::new(params, key), KeyPair::generate().expect("a key"));
        let names = [TIKTOK, AWS, "localhost"].map(str::to_owned);
        let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("a leaf");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|tls| tls.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key))
            .expect("a server");
        let file = std::env::temp_dir().join(format!("roots-{}-{}.pem", getpid(), Uuid::new_v4().simple()));
        fs::write(&file, format!("# Ours\n{}", root.pem())).expect("a file");
        Self { file, tls: TlsAcceptor::from(Arc::new(tls)) }
    }

    fn path(&self) -> &str {
        self.file.to_str().expect("a path in ASCII")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// A proxy that knows `CONNECT` alone. Behind its tunnels it stands for the internet: TLS under the authority's certificate,
/// and then the world's stand-ins.
struct Proxy {
    url: String,
    /// The targets that it was asked for, with the credentials that came along.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(world: &World, authority: &Authority, refuses: &'static [&'static str]) -> Self {
        let listener = listen().await;
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let aws = world.secrets_manager.url().trim_start_matches("http://").parse().expect("an address");
        let ends = [(TIKTOK, world.tiktok.address()), (AWS, aws)];
        tokio::spawn(serve(listener, ends, authority.tls.clone(), refuses, Arc::clone(&asked)));
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().expect("no test has panicked").clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

async fn serve(
    listener: TcpListener,
    ends: [(&'static str, SocketAddr); 2],
    tls: TlsAcceptor,
    refuses: &'static [&'static str],
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, asked) = (tls.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            let (mut stream, mut head) = (BufReader::new(stream), String::new());
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or(&head);
            let credentials = head.lines().find(|line| line.to_lowercase().starts_with("proxy-authorization"));
            let line = credentials.map_or_else(|| target.to_owned(), |it| format!("{target} {}", it.to_lowercase()));
            asked.lock().expect("no test has panicked").push(line);
            let end = ends.into_iter().find(|(name, _)| target == format!("{name}:443") && !refuses.contains(name));
            let Some((_, end)) = end else {
                return stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
            };
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            let (mut far, mut near) = (tls.accept(stream).await?, TcpStream::connect(end).await?);
            copy_bidirectional(&mut far, &mut near).await.map(drop)
        });
    }
}

/// The function as it is deployed: with the addresses that the internet has, which here only the proxy can reach.
fn deployed<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let internet = [
        ("TIKTOK_API_URL", ""),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://secretsmanager.eu-west-1.amazonaws.com"),
    ];
    internet.iter().chain(more).copied().collect()
}

#[tokio::test]
async fn through_a_proxy_everything_goes_by_a_tunnel_and_the_proxy_sees_names_alone() {
    let (Some(world), authority) = (strict(World::start()), Authority::new()) else { return };
    let proxy = Proxy::start(&world, &authority, &[]).await;
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let function =
            world.function_with(BINARY, &deployed(&[(name, &proxy.url), ("AWS_CA_BUNDLE", authority.path())]));
        assert_eq!(outcome(&function.run(refresh()).await), "refreshed");
        assert_eq!(proxy.asked(), [format!("{TIKTOK}:443"), format!("{AWS}:443")], "{name}");
        proxy.asked.lock().expect("no test has panicked").clear();
    }
}

#[tokio::test]
async fn a_host_of_no_proxy_is_reached_directly() {
    let (world, authority) = (World::start(), Authority::new());
    let proxy = Proxy::start(&world, &authority, &[]).await;
    let https = listen().await;
    let (tiktok, port) = (world.tiktok.address(), https.local_addr().expect("a bound listener has an address").port());
    let tls = authority.tls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = https.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let (mut far, mut near) = (tls.accept(stream).await?, TcpStream::connect(tiktok).await?);
                copy_bidirectional(&mut far, &mut near).await
            });
        }
    });
    let url = format!("https://localhost:{port}/open_api/v1.3/");
    let run = async |no_proxy: &str| {
        let variables = [
            ("TIKTOK_API_URL", url.as_str()),
            ("HTTPS_PROXY", &proxy.url),
            ("NO_PROXY", no_proxy),
            ("SSL_CERT_FILE", authority.path()),
        ];
        world.function_with(BINARY, &variables).invoke(refresh(), SHORT).await
    };
    assert_eq!(outcome(&run("amazonaws.com, localhost").await), "refreshed");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert_failed(&run("amazonaws.com").await, "TikTokUnavailable", &[]);
    assert_eq!(proxy.asked(), [format!("localhost:{port}")]);
}

#[tokio::test]
async fn a_proxy_that_refuses_costs_no_refresh_token() {
    let (Some(world), authority) = (strict(World::start()), Authority::new()) else { return };
    let proxy = Proxy::start(&world, &authority, &[TIKTOK]).await;
    let variables = deployed(&[("HTTPS_PROXY", &proxy.url), ("AWS_CA_BUNDLE", authority.path())]);
    let invocation = world.function_with(BINARY, &variables).invoke(refresh(), SHORT).await;
    assert_failed(&invocation, "TikTokUnavailable", &[]);
    assert!(world.tiktok.core().redeems().is_empty());
    assert_eq!(world.next_run().await, "refreshed");
}

#[tokio::test]
async fn a_password_of_the_proxy_is_sent_to_it_and_shown_nowhere() {
    let (Some(world), authority) = (strict(World::start()), Authority::new()) else { return };
    let proxy = Proxy::start(&world, &authority, &[TIKTOK]).await;
    let url = proxy.url.replace("http://", "http://somebody:canary-proxy-password@");
    let variables =
        deployed(&[("HTTPS_PROXY", &url), ("AWS_CA_BUNDLE", authority.path()), ("AWS_LAMBDA_LOG_LEVEL", "TRACE")]);
    let invocation = world.function_with(BINARY, &variables).invoke(refresh(), SHORT).await;
    assert_failed(&invocation, "TikTokUnavailable", &[]);
    // somebody:canary-proxy-password
    let sent = "proxy-authorization: basic c29tzwjvzhk6y2fuyxj5lxbyb3h5lxbhc3n3b3jk";
    assert!(proxy.asked().iter().all(|line| line.ends_with(sent)), "{:?}", proxy.asked());
    let shown = format!("{invocation:?}");
    assert!(!shown.contains("canary-proxy-password") && !shown.contains("c29tZWJvZHk6"), "{shown}");
    let function = world.function_with(BINARY, &[("HTTPS_PROXY", "http://somebody:canary-proxy-password@")]);
    let refused = function.run(refresh()).await;
    assert_failed(&refused, "InvalidConfiguration", &["HTTPS_PROXY is not the URL of a proxy"]);
    assert!(!format!("{refused:?}").contains("canary-proxy-password"), "{refused:?}");
}

#[tokio::test]
async fn a_private_root_certificate_counts_only_where_a_variable_names_its_file() {
    let (Some(world), authority) = (strict(World::start()), Authority::new()) else { return };
    let proxy = Proxy::start(&world, &authority, &[]).await;
    let run = async |more: &[(&str, &str)]| {
        let variables: Vec<_> = [("HTTPS_PROXY", proxy.url.as_str())].iter().chain(more).copied().collect();
        world.function_with(BINARY, &deployed(&variables)).invoke(refresh(), SHORT).await
    };
    assert_failed(&run(&[]).await, "SecretsManagerUnavailable", &[]);
    assert!(world.faults.journal().is_empty(), "a certificate of an unknown authority was believed");
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        assert_eq!(outcome(&run(&[(name, authority.path())]).await), "refreshed", "{name}");
    }
    let first = [("AWS_CA_BUNDLE", authority.path()), ("SSL_CERT_FILE", "/nowhere.pem")];
    assert_eq!(outcome(&run(&first).await), "refreshed", "AWS's own variable counts first");
}

#[tokio::test]
async fn a_file_without_a_certificate_is_named_and_nobody_is_asked() {
    let world = World::start();
    let empty = Authority::new();
    let cases = [
        ("", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate that cannot be used"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "not PEM"),
    ];
    for (content, says) in cases {
        fs::write(&empty.file, content).expect("a file");
        let invocation = world.function_with(BINARY, &[("SSL_CERT_FILE", empty.path())]).run(refresh()).await;
        assert_failed(&invocation, "InvalidConfiguration", &["SSL_CERT_FILE names", says]);
    }
    let invocation = world.function_with(BINARY, &[("AWS_CA_BUNDLE", "/opt/nowhere.pem")]).run(refresh()).await;
    assert_failed(&invocation, "InvalidConfiguration", &["AWS_CA_BUNDLE names '/opt/nowhere.pem'", "cannot be read"]);
    assert!(world.faults.journal().is_empty());
}
