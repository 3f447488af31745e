//! Connections, plain and under TLS: one task for each, and one for each port that listens.

use super::tls::Tls;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tspi::{PortId, Security};

/// How long connecting or a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes at one time of one port.
const MAX_HANDSHAKES: usize = 256;
/// Messages that may wait for a connection to take them; with more it is closed.
const MAX_UNWRITTEN: usize = 1_024;
/// Things that happened and that the provider has not taken yet: connections wait, and so do those at their other ends.
const MAX_NEWS: usize = 1_024;

/// What happened to connections.
#[derive(Debug)]
pub enum News {
    /// One that was asked for is there.
    Connected { port: PortId, local: SocketAddr },
    /// Somebody connected.
    Accepted { listener: PortId, port: PortId, local: SocketAddr, from: SocketAddr, names: Vec<String>, out: Out },
    /// Bytes came.
    Bytes { port: PortId, bytes: Vec<u8> },
    /// One is gone, or did not come about.
    Closed { port: PortId, reason: String },
}

/// Where bytes for a connection go. The connection ends when this is dropped.
pub type Out = mpsc::Sender<Vec<u8>>;

/// The source of connections of one provider.
pub struct Streams {
    tls: Arc<Tls>,
    news: mpsc::Sender<News>,
    next: Arc<AtomicU32>,
}

/// A port that listens, until it is dropped.
#[derive(Debug)]
pub struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Streams {
    /// With these certificates; what happens is told over the channel that is returned.
    pub fn new(tls: Tls) -> (Streams, mpsc::Receiver<News>) {
        let (news, told) = mpsc::channel(MAX_NEWS);
        // An earlier process may have used the first names: theirs are told to be closed, and must not be taken for new ones.
        let next = PortId::ACCEPTED.0 | (std::process::id() % 0x7fff) << 16;
        (Streams { tls: Arc::new(tls), news, next: Arc::new(AtomicU32::new(next)) }, told)
    }

    /// Connects.
    pub fn connect(&self, port: PortId, to: SocketAddr, security: Security) -> Out {
        let (out, unwritten) = mpsc::channel(MAX_UNWRITTEN);
        let (tls, news) = (Arc::clone(&self.tls), self.news.clone());
        tokio::spawn(async move {
            let reason = match tokio::time::timeout(PATIENCE, reach(&tls, to, &security)).await {
                Err(_) => "it took too long".to_string(),
                Ok(Err(error)) => error.to_string(),
                Ok(Ok((stream, local))) => {
                    if news.send(News::Connected { port, local }).await.is_err() {
                        return;
                    }
                    carry(port, stream, unwritten, &news).await
                }
            };
            let _ = news.send(News::Closed { port, reason }).await;
        });
        out
    }

    /// Listens.
    pub async fn listen(listener: PortId, address: SocketAddr) -> io::Result<TcpListener> {
        let bound = TcpListener::bind(address).await;
        if let Err(error) = &bound {
            tracing::warn!(%address, %error, port = listener.0, "cannot listen; it is tried again");
        }
        bound
    }

    /// Takes connections from a port that listens.
    pub fn accept(&self, listener: PortId, socket: TcpListener, secured: bool) -> Listening {
        let (tls, news, next) = (Arc::clone(&self.tls), self.news.clone(), Arc::clone(&self.next));
        let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
        Listening(tokio::spawn(async move {
            loop {
                let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { return };
                let (stream, from) = match socket.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // No descriptors left, as a rule: it will be better when others are closed.
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let port = PortId(next.fetch_add(1, Ordering::Relaxed) | PortId::ACCEPTED.0);
                let (tls, news) = (Arc::clone(&tls), news.clone());
                tokio::spawn(async move {
                    let Ok(local) = stream.local_addr() else { return };
                    let _ = stream.set_nodelay(true);
                    if !secured {
                        drop(turn);
                        return serve((listener, port), (local, from), Vec::new(), stream, &news).await;
                    }
                    match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                        Ok(Ok((stream, names))) => {
                            drop(turn);
                            serve((listener, port), (local, from), names, stream, &news).await;
                        }
                        Ok(Err(error)) => tracing::info!(%from, %error, "a TLS handshake failed"),
                        Err(_) => tracing::info!(%from, "a TLS handshake took too long"),
                    }
                });
            }
        }))
    }
}

async fn serve<S: AsyncRead + AsyncWrite>(
    (listener, port): (PortId, PortId),
    (local, from): (SocketAddr, SocketAddr),
    names: Vec<String>,
    stream: S,
    news: &mpsc::Sender<News>,
) {
    let (out, unwritten) = mpsc::channel(MAX_UNWRITTEN);
    if news.send(News::Accepted { listener, port, local, from, names, out }).await.is_ok() {
        let reason = carry(port, stream, unwritten, news).await;
        let _ = news.send(News::Closed { port, reason }).await;
    }
}

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

async fn reach(tls: &Tls, to: SocketAddr, security: &Security) -> io::Result<(Box<dyn Both>, SocketAddr)> {
    let stream = TcpStream::connect(to).await?;
    let local = stream.local_addr()?;
    let _ = stream.set_nodelay(true);
    Ok(match security {
        Security::Plain => (Box::new(stream), local),
        Security::Tls { name } => (Box::new(tls.connect(stream, name).await?), local),
    })
}

/// Carries bytes both ways until one side has enough; why it ended.
async fn carry<S: AsyncRead + AsyncWrite>(
    port: PortId,
    stream: S,
    mut unwritten: mpsc::Receiver<Vec<u8>>,
    news: &mpsc::Sender<News>,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let inward = async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return "the far end closed it".to_string(),
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                    if news.send(News::Bytes { port, bytes }).await.is_err() {
                        return "nobody listens".to_string();
                    }
                }
                Err(error) => return error.to_string(),
            }
        }
    };
    let outward = async {
        while let Some(bytes) = unwritten.recv().await {
            let written = async {
                writer.write_all(&bytes).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                return error.to_string();
            }
        }
        let _ = tokio::time::timeout(PATIENCE, writer.shutdown()).await;
        "closed".to_string()
    };
    tokio::select! {
        reason = inward => reason,
        reason = outward => reason,
    }
}
