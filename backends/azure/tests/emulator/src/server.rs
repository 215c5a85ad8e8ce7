//! The emulated Azure behind a socket: HTTPS for everything, plain HTTP for the
//! metadata service of VMs, both on loopback and on free ports.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{Request, Response, StatusCode};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::settings::Settings;

/// The largest request body that is read.
const BODY: usize = 4 << 20;

/// A running emulator. It stops when dropped.
#[derive(Debug)]
pub struct Emulator {
    cloud: Cloud,
    port: u16,
    imds_port: u16,
    ca_pem: String,
    dir: tempfile::TempDir,
    tasks: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Starts on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// No port, no certificate, or no room for the authority's file.
    pub async fn start(settings: Settings, clock: Clock) -> io::Result<Emulator> {
        Emulator::serve(Cloud::new(settings, clock)).await
    }

    /// Puts an existing cloud behind sockets.
    ///
    /// # Errors
    /// As [`Emulator::start`].
    pub async fn serve(cloud: Cloud) -> io::Result<Emulator> {
        let (ca_pem, acceptor) = crate::tls::authority()?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("ca.pem"), &ca_pem)?;
        let secure = TcpListener::bind(("127.0.0.1", 0)).await?;
        let plain = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, imds_port) = (secure.local_addr()?.port(), plain.local_addr()?.port());

        let answering = cloud.clone();
        let service = Router::new()
            .fallback(
                move |ConnectInfo(line): ConnectInfo<Line>, request: Request<Body>| {
                    let cloud = answering.clone();
                    async move {
                        match cloud.respond(whole(request).await).await {
                            Some(response) => response.map(Body::from),
                            None => {
                                line.cut();
                                Response::new(Body::empty())
                            }
                        }
                    }
                },
            )
            .into_make_service_with_connect_info::<Line>();
        let metadata = cloud.clone();
        let imds = Router::new().fallback(move |request: Request<Body>| {
            let cloud = metadata.clone();
            async move {
                match cloud.metadata(whole(request).await).await {
                    Some(response) => response.map(Body::from),
                    None => {
                        let mut failed = Response::new(Body::empty());
                        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                        failed
                    }
                }
            }
        });
        let (sender, ready) = mpsc::channel(64);
        let ticking = cloud.clone();
        let tasks = vec![
            tokio::spawn(greet(secure, acceptor, sender)),
            tokio::spawn(async move {
                let listener = Ready {
                    ready,
                    local: SocketAddr::from(([127, 0, 0, 1], port)),
                };
                // Serving ends with the task only.
                let _ = axum::serve(listener, service).await;
            }),
            tokio::spawn(async move {
                let _ = axum::serve(plain, imds).await;
            }),
            tokio::spawn(async move {
                loop {
                    ticking.tick();
                    tokio::time::sleep(ticking.clock().tick()).await;
                }
            }),
        ];
        Ok(Emulator {
            cloud,
            port,
            imds_port,
            ca_pem,
            dir,
            tasks,
        })
    }

    /// The emulated Azure itself: faults, time, books.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// `https://localhost:PORT`, for Resource Manager and for the directory.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// `http://127.0.0.1:PORT` of the metadata service.
    pub fn imds(&self) -> String {
        format!("http://127.0.0.1:{}", self.imds_port)
    }

    /// The authority's certificate, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A file with the authority's certificate; it goes with the emulator.
    pub fn ca_file(&self) -> PathBuf {
        self.dir().join("ca.pem")
    }

    /// All that a client needs to know, for programs in other languages.
    pub fn describe(&self) -> serde_json::Value {
        let settings = self.cloud.settings();
        serde_json::json!({
            "endpoint": self.endpoint(), "imds": self.imds(), "ca_file": self.ca_file(),
            "tenant": settings.tenant, "subscription": settings.subscription(),
            "clients": settings.clients, "group": settings.group, "location": settings.location,
            "subnet_id": settings.subnet_id(),
        })
    }

    /// The emulator's temporary directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn whole(request: Request<Body>) -> Request<Vec<u8>> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY).await.unwrap_or_default();
    Request::from_parts(head, body.to_vec())
}

/// Accepts connections and shakes hands with each on its own, so that a slow
/// client holds up nobody.
async fn greet(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<Wire>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            // Small answers must not wait for the client's acknowledgements.
            let _ = stream.set_nodelay(true);
            if let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_secs(30), acceptor.accept(stream)).await
            {
                let _ = ready
                    .send(Wire {
                        stream,
                        line: Line::default(),
                    })
                    .await;
            }
        });
    }
}

/// A handle by which an answer may cut its connection.
#[derive(Debug, Clone, Default)]
struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

/// A connection after its handshake.
struct Wire {
    stream: TlsStream<TcpStream>,
    line: Line,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Connections that shook hands.
struct Ready {
    ready: mpsc::Receiver<Wire>,
    local: SocketAddr,
}

impl Listener for Ready {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        match self.ready.recv().await {
            Some(wire) => {
                let peer = wire.stream.get_ref().0.peer_addr().unwrap_or(self.local);
                (wire, peer)
            }
            // The greeter ended: nobody will come any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Connected<IncomingStream<'_, Ready>> for Line {
    fn connect_info(stream: IncomingStream<'_, Ready>) -> Line {
        stream.io().line.clone()
    }
}
