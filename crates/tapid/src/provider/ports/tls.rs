//! TLS: certificates of ours, and who the far end is (RFC 5922).

use crate::config::TlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most names that are taken of a certificate.
const MAX_NAMES: usize = 64;

/// Certificates as they were read last. They are read anew when their files change.
pub struct Tls {
    config: TlsConfig,
    read: Mutex<Option<(Vec<Option<SystemTime>>, Loaded)>>,
}

#[derive(Clone)]
struct Loaded {
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// With these files.
    pub fn new(config: TlsConfig) -> Tls {
        Tls { config, read: Mutex::new(None) }
    }

    /// Reads all files and says what is wrong with them.
    pub fn check(config: &TlsConfig) -> Result<(), String> {
        load(config).map(drop).map_err(|error| error.to_string())
    }

    /// What the files say now. While they cannot be read, what they said before counts.
    fn current(&self) -> io::Result<Loaded> {
        let files = [&self.config.certificate, &self.config.key, &self.config.ca];
        let changed = |file: &Path| std::fs::metadata(file).and_then(|data| data.modified()).ok();
        let times: Vec<Option<SystemTime>> = files.into_iter().map(|file| file.as_deref().and_then(changed)).collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, loaded)) = &*read
            && *known == times
        {
            return Ok(loaded.clone());
        }
        match (load(&self.config), &*read) {
            (Ok(loaded), earlier) => {
                if earlier.is_some() {
                    tracing::info!("certificates have changed and are used from now on");
                }
                *read = Some((times, loaded.clone()));
                Ok(loaded)
            }
            (Err(error), Some((_, loaded))) => {
                tracing::error!(%error, "changed certificates cannot be used: the earlier ones count on");
                Ok(loaded.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Shakes hands with who connected; the names that its certificate is for, if it showed one.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(server::TlsStream<TcpStream>, Vec<String>)> {
        let config = self.current()?.server.ok_or_else(|| io::Error::other("there is no certificate of ours"))?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let names = certificates.and_then(<[_]>::first).map(|first| names(first)).unwrap_or_default();
        Ok((stream, names))
    }

    /// Shakes hands with somebody whose certificate must be for this name.
    pub async fn connect(&self, stream: TcpStream, name: &str) -> io::Result<client::TlsStream<TcpStream>> {
        let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connected = TlsConnector::from(self.current()?.client).connect(server, stream).await;
        connected.map_err(|error| plain(&error, name).map_or(error, io::Error::other))
    }
}

/// What is wrong with a certificate, for an operator.
fn plain(error: &io::Error, name: &str) -> Option<String> {
    let Some(Error::InvalidCertificate(wrong)) = error.get_ref()?.downcast_ref::<Error>() else {
        return None;
    };
    Some(match wrong {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is not for {name}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "its certificate is signed by nobody whom we trust".to_owned(),
        CertificateError::Revoked => "its certificate is revoked".to_owned(),
        other => format!("its certificate cannot be taken: {other:?}"),
    })
}

fn load(config: &TlsConfig) -> io::Result<Loaded> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(config)?);
    let ours = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => Some((chain(certificate)?, secret(key)?)),
        _ => None,
    };
    let verifier = Arc::new(DomainVerifier { roots: Arc::clone(&roots), provider: Arc::clone(&provider) });
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match &ours {
        Some((chain, key)) => client.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(io::Error::other)?,
        None => client.with_no_client_auth(),
    };
    let server = match ours {
        None => None,
        Some((chain, key)) => {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?;
            let builder = if config.ca.is_some() {
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let clients =
                    if config.client_certificate_required { clients } else { clients.allow_unauthenticated() };
                builder.with_client_cert_verifier(clients.build().map_err(io::Error::other)?)
            } else {
                builder.with_no_client_auth()
            };
            Some(Arc::new(builder.with_single_cert(chain, key).map_err(io::Error::other)?))
        }
    };
    Ok(Loaded { server, client: Arc::new(client) })
}

/// Who is trusted to say who somebody is: the configured authority alone, or those of the system.
fn roots(config: &TlsConfig) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match &config.ca {
        Some(file) => {
            for certificate in chain(file)? {
                store.add(certificate).map_err(|error| named(file, &error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

fn chain(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|error| named(file, &error))?.collect();
    let found = found.map_err(|error| named(file, &error))?;
    if found.is_empty() { Err(named(file, &"no certificate in it")) } else { Ok(found) }
}

fn secret(file: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| named(file, &error))
}

fn named(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}

/// Names that a certificate is for: `sip` URIs of a whole domain, then hosts, then addresses (RFC 5922 section 7.1).
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let (mut uris, mut hosts) = (Vec::new(), Vec::new());
    for name in alternatives.value.general_names.iter().take(MAX_NAMES) {
        match name {
            GeneralName::URI(uri) => {
                let domain =
                    uri.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("sip:")).and_then(|_| uri.get(4..));
                uris.extend(domain.filter(|domain| !domain.contains('@')).map(str::to_ascii_lowercase));
            }
            GeneralName::DNSName(host) => hosts.push(host.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                hosts.extend(v4.or(v6).map(|ip| ip.to_string()));
            }
            _ => {}
        }
    }
    // Where a certificate has URIs, hosts do not speak for a SIP domain; addresses and hosts are tried only without them.
    if uris.is_empty() { hosts } else { uris }
}

/// Takes a certificate of the trusted that is for the domain which is asked for, without wildcards.
#[derive(Debug)]
struct DomainVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for DomainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let wanted = server_name.to_str().to_ascii_lowercase();
        if names(end_entity).contains(&wanted) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
