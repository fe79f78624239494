//! A server sends back what it gets, to many clients that compare.

use std::cell::RefCell;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{join_all, try_join};
use runtime_tests::steps;
use uring::net::{TcpListener, TcpStream};
use uring::op::{self, Completion, Op};
use uring::pool::{BufPool, PoolSetup};
use uring::ring::Sqe;
use uring::spawn;
use uring::task::JoinHandle;
use uring::time::{sleep, timeout};

use super::harness::{Life, Stage, expected, is_passing, stretch};

pub(crate) type Tasks = Rc<RefCell<Vec<JoinHandle<()>>>>;

pub(crate) async fn play(stage: Rc<Stage>) {
    let listener = listen(&stage).await;
    let address = listener.local_addr().expect("an address");
    let connections = Tasks::default();
    let pool = PoolSetup::new().buffer_bytes(200 + stage.of_any_size(4 << 10) as u32).at_first(1);
    let pool = pool.limit(1 + stage.below(6) as u32).build().expect("a pool");
    let server = serve(Rc::clone(&stage), listener, pool.clone(), Rc::clone(&connections));
    let server = spawn(server);
    let most = steps(12, 3) as u64;
    let clients =
        (0..1 + stage.below(most)).map(|number| spawn(client(Rc::clone(&stage), address, number)));
    for client in join_all(clients).await {
        client.expect("no client panics");
    }
    server.abort();
    assert!(server.await.is_err_and(|error| error.is_cancelled()), "the server ends by this alone");
    all_end(&connections).await;
    let on_loan = || pool.stats().buffers - pool.stats().available;
    for _ in 0..1000 {
        // A receive that was dropped has its buffer until it ends.
        if on_loan() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(on_loan(), 0, "buffers that have not come back");
}

/// Waits for all tasks, those included that begin meanwhile.
pub(crate) async fn all_end(tasks: &Tasks) {
    loop {
        let next = tasks.borrow_mut().pop();
        let Some(task) = next else { return };
        task.await.expect("no task panics");
    }
}

pub(crate) async fn listen(stage: &Stage) -> TcpListener {
    loop {
        match TcpListener::bind("127.0.0.1:0").await {
            Ok(listener) => return listener,
            Err(error) => stage.again(&error).await,
        }
    }
}

async fn serve(stage: Rc<Stage>, listener: TcpListener, pool: BufPool, connections: Tasks) {
    let _life = stage.life();
    let one_by_one = stage.below(2) == 0;
    let mut incoming = listener.incoming();
    loop {
        let accepted = if one_by_one {
            // The stream was never polled, so it does not hold the lane.
            listener.accept().await.map(|(stream, _)| stream)
        } else {
            incoming.next().await.expect("it never ends")
        };
        match accepted {
            Ok(stream) => {
                let task = spawn(serve_one(Rc::clone(&stage), stream, pool.clone()));
                connections.borrow_mut().push(task);
            }
            Err(error) => stage.again(&error).await,
        }
    }
}

async fn serve_one(stage: Rc<Stage>, stream: TcpStream, pool: BufPool) {
    let _life = stage.life();
    let sent_back = match stage.below(3) {
        0 => send_back(&stage, &stream).await,
        1 => send_back_leased(&stream, &pool).await,
        _ => send_back_all(&stream, &pool).await,
    };
    if let Err(error) = sent_back {
        stage.trouble.set(stage.trouble.get() + 1);
        // Only now do clients notice.
        drop(stream);
        stage.again(&error).await;
    }
}

async fn send_back(stage: &Stage, stream: &TcpStream) -> io::Result<()> {
    let mut buf = Vec::with_capacity(1 + stage.of_any_size(16 << 10) as usize);
    loop {
        buf = match stream.recv(buf).await {
            Ok((0, _)) => return Ok(()),
            Ok((_, buf)) => buf,
            Err(failed) if is_passing(failed.error()) => {
                buf = failed.into_buf();
                continue;
            }
            Err(failed) => return Err(failed.into()),
        };
        // How much of it was sent before an error is not known, so an error is the end.
        buf = stream.send_all(buf).await?.1;
    }
}

/// The same in buffers that the kernel picks. They are few, so it finds none now and then.
async fn send_back_leased(stream: &TcpStream, pool: &BufPool) -> io::Result<()> {
    loop {
        match stream.recv_leased_from(pool).await {
            Ok(bytes) if bytes.is_empty() => return Ok(()),
            Ok(bytes) => drop(stream.send_all(bytes).await?),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same with one receive for all of it, which is begun again after an error.
async fn send_back_all(stream: &TcpStream, pool: &BufPool) -> io::Result<()> {
    loop {
        let mut incoming = stream.incoming_bytes_from(pool);
        loop {
            match incoming.next().await {
                None => return Ok(()),
                Some(Ok(bytes)) => drop(stream.send_all(bytes).await?),
                Some(Err(error)) if is_passing(&error) => break,
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

/// A zero-copy send: its bytes stay lent until the notification, long after the result.
struct ZeroCopy {
    stream: Rc<TcpStream>,
    bytes: Vec<u8>,
    _life: Life,
}

impl Op for ZeroCopy {
    type Output = io::Result<u32>;

    fn prepare(&mut self) -> Sqe<'_> {
        Sqe::send_zc(self.stream.as_fd().into(), &self.bytes, 0)
    }

    fn complete(self, completion: Completion<Self>) -> Self::Output {
        completion.result()
    }
}

/// Sends a part, most of the time at one go; how much it was.
async fn send(stage: &Stage, stream: &Rc<TcpStream>, bytes: Vec<u8>) -> io::Result<u64> {
    if stage.below(4) > 0 {
        let len_bytes = bytes.len() as u64;
        return Ok(stream.send_all(bytes).await.map(|_| len_bytes)?);
    }
    let send = ZeroCopy { stream: Rc::clone(stream), bytes, _life: stage.life() };
    match op::submit(send).await {
        Ok(sent) => Ok(u64::from(sent)),
        // Interrupted, or short of memory: nothing was sent.
        Err(error) if is_passing(&error) || error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

async fn client(stage: Rc<Stage>, address: SocketAddr, number: u64) {
    let _life = stage.life();
    let len_bytes = stage.of_any_size(steps(20_000, 500) as u64);
    loop {
        let before = stage.mishaps();
        let error = match session(&stage, address, number, len_bytes).await {
            Ok(()) => return,
            Err(error) => error,
        };
        stage.excuses(&error, before, format_args!("client {number}"));
        stage.again(&error).await;
    }
}

/// One connection, over which everything is sent and comes back.
async fn session(
    stage: &Stage,
    address: SocketAddr,
    number: u64,
    len_bytes: u64,
) -> io::Result<()> {
    let stream = Rc::new(TcpStream::connect(address).await?);
    let sends = async {
        let mut sent = 0;
        while sent < len_bytes {
            let part = (1 + stage.of_any_size(8 << 10)).min(len_bytes - sent);
            sent += send(stage, &stream, stretch(number, sent, part)).await?;
            if stage.below(4) == 0 {
                sleep(stage.moment()).await;
            }
        }
        stream.shutdown(Shutdown::Write).await
    };
    let receives = receive(stage, &stream, number, len_bytes);
    try_join(sends, receives).await.map(drop)
}

/// Receives to the end, in receives of any size that are dropped now and then: not a byte may be lost.
async fn receive(stage: &Stage, stream: &TcpStream, number: u64, len_bytes: u64) -> io::Result<()> {
    let mut received = 0;
    loop {
        let room = Vec::with_capacity(1 + stage.of_any_size(8 << 10) as usize);
        let bytes = match timeout(stage.moment(), stream.recv(room)).await {
            Ok(Ok((0, _))) if received == len_bytes => return Ok(()),
            Ok(Ok((0, _))) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok((_, bytes))) => bytes,
            Ok(Err(failed)) if is_passing(failed.error()) => continue,
            Ok(Err(failed)) => return Err(failed.into()),
            Err(_) => continue,
        };
        for byte in bytes {
            assert_eq!(byte, expected(number, received), "byte {received} of client {number}");
            received += 1;
        }
        assert!(received <= len_bytes, "more came back than was sent");
    }
}
