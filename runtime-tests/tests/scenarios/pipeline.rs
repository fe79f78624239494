//! A pipeline of tasks: a source, stages that change each byte, and a sink that compares; each gives up waiting
//! now and then and starts over. Beside them tasks that are aborted, wherever they are.

use std::cell::Cell;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use runtime_tests::steps;
use uring::net::{TcpListener, TcpStream};
use uring::spawn;
use uring::task::{JoinHandle, yield_now};
use uring::time::{sleep, timeout};

use super::echo::listen;
use super::harness::{Stage, expected, is_passing, stretch};

pub(crate) async fn play(stage: Rc<Stage>) {
    let len_bytes = stage.of_any_size(steps(30_000, 500) as u64);
    let stages = 1 + stage.below(3);
    let through = Rc::new(Cell::new(0));
    let listener = Rc::new(listen(&stage).await);
    let bystanders: Vec<_> =
        (0..stage.below(6)).map(|_| spawn(bystander(Rc::clone(&stage)))).collect();
    loop {
        match attempt(&stage, &listener, stages, len_bytes, &through).await {
            Ok(()) => break,
            Err(error) => stage.again(&error).await,
        }
    }
    assert_eq!(through.get(), len_bytes);
    for bystander in bystanders {
        bystander.abort();
        match bystander.await {
            Ok(()) => {}
            Err(error) => assert!(error.is_cancelled(), "a bystander: {error}"),
        }
    }
}

/// Runs the pipeline from where the last one ended.
async fn attempt(
    stage: &Rc<Stage>,
    listener: &Rc<TcpListener>,
    stages: u64,
    len_bytes: u64,
    through: &Rc<Cell<u64>>,
) -> io::Result<()> {
    let mut tasks: Vec<JoinHandle<io::Result<()>>> = Vec::new();
    let (mut into, mut from) = connection(listener).await?;
    tasks.push(spawn(source(Rc::clone(stage), into, through.get(), len_bytes)));
    for _ in 0..stages {
        let next;
        (into, next) = match connection(listener).await {
            Ok(connection) => connection,
            Err(error) => {
                drop(from);
                ended(stage, tasks).await;
                return Err(error);
            }
        };
        tasks.push(spawn(change(Rc::clone(stage), from, into)));
        from = next;
    }
    let sunk = spawn(sink(Rc::clone(stage), from, stages, Rc::clone(through))).await;
    let sunk = sunk.expect("the sink does not panic");
    let failed = ended(stage, tasks).await;
    assert!(
        failed || sunk.is_err() || through.get() == len_bytes,
        "the stream ended at {} of {len_bytes} bytes, and nobody had failed",
        through.get()
    );
    if through.get() == len_bytes {
        Ok(())
    } else {
        Err(sunk.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Waits for tasks, some of which it aborts when they take long; whether one of them failed.
async fn ended(stage: &Stage, tasks: Vec<JoinHandle<io::Result<()>>>) -> bool {
    let mut failed = false;
    for mut task in tasks {
        let patience = stage.moment();
        let result = match timeout(patience, &mut task).await {
            Ok(result) => result,
            Err(_) => {
                task.abort();
                task.await
            }
        };
        match result {
            Ok(Ok(())) => {}
            Ok(Err(_)) => failed = true,
            Err(error) => {
                assert!(error.is_cancelled(), "a stage: {error}");
                failed = true;
            }
        }
    }
    failed
}

/// Both ends of a new connection.
async fn connection(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (server, peer) = listener.accept().await?;
        // What an earlier attempt has left behind is not ours.
        if peer == client.local_addr()? {
            return Ok((client, server));
        }
    }
}

async fn source(stage: Rc<Stage>, into: TcpStream, from: u64, len_bytes: u64) -> io::Result<()> {
    let _life = stage.life();
    let mut sent = from;
    while sent < len_bytes {
        let part = (1 + stage.of_any_size(8 << 10)).min(len_bytes - sent);
        into.send_all(stretch(0, sent, part)).await?;
        sent += part;
    }
    into.shutdown(Shutdown::Write).await?;
    // Closed at once, it could reset what is on its way.
    Ok(())
}

/// Adds one to every byte.
async fn change(stage: Rc<Stage>, from: TcpStream, into: TcpStream) -> io::Result<()> {
    let _life = stage.life();
    loop {
        let bytes = some(&stage, &from).await?;
        if bytes.is_empty() {
            return into.shutdown(Shutdown::Write).await;
        }
        let changed: Vec<u8> = bytes.iter().map(|byte| byte.wrapping_add(1)).collect();
        into.send_all(changed).await?;
    }
}

async fn sink(
    stage: Rc<Stage>,
    from: TcpStream,
    stages: u64,
    through: Rc<Cell<u64>>,
) -> io::Result<()> {
    let _life = stage.life();
    loop {
        let bytes = some(&stage, &from).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        for byte in bytes {
            let at = through.get();
            assert_eq!(byte, expected(0, at).wrapping_add(stages as u8), "byte {at}");
            through.set(at + 1);
        }
    }
}

/// The next bytes; none at the end. It gives up waiting again and again, and loses nothing.
async fn some(stage: &Stage, from: &TcpStream) -> io::Result<Vec<u8>> {
    loop {
        let room = Vec::with_capacity(1 + stage.of_any_size(8 << 10) as usize);
        match timeout(stage.moment(), from.recv(room)).await {
            Ok(Ok((_, bytes))) => return Ok(bytes),
            Ok(Err(failed)) if is_passing(failed.error()) => {}
            Ok(Err(failed)) => return Err(failed.into()),
            Err(_) => {}
        }
    }
}

/// Waits in several ways at once until it is aborted, or until it has had enough.
async fn bystander(stage: Rc<Stage>) {
    let _life = stage.life();
    let listener = listen(&stage).await;
    for _ in 0..1 + stage.below(20) {
        let waits = async {
            let (one, other) = connection(&listener).await?;
            let _ = timeout(stage.moment(), one.recv(vec![0; 100])).await;
            let silent = Silent(spawn(wait_in_vain(Rc::clone(&stage), other)));
            (0..stage.below(5)).for_each(|_| drop(one.send(vec![7; 10])));
            yield_now().await;
            drop(silent);
            listener.accept().await.map(drop)
        };
        let _: Result<io::Result<()>, _> = timeout(stage.moment(), waits).await;
    }
}

/// A task that is aborted with what holds this.
struct Silent(JoinHandle<()>);

impl Drop for Silent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn wait_in_vain(stage: Rc<Stage>, on: TcpStream) {
    let _life = stage.life();
    sleep(stage.moment()).await;
    let _ = on.recv(Vec::with_capacity(10)).await;
}
