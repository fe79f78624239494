//! A chat: the server sends each message to all members, their senders included. A member that loses its
//! connection joins again, and says again what it has not heard.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::{join_all, try_join};
use runtime_tests::steps;
use uring::buf::IoBuf;
use uring::net::{TcpListener, TcpStream};
use uring::spawn;
use uring::time::{sleep, timeout};

use super::echo::{Tasks, all_end, listen};
use super::harness::{Stage, is_passing, stretch};

const HEAD_BYTES: usize = 8;

/// What stands before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    sender: u8,
    /// Counts the sender's connections.
    epoch: u16,
    /// Counts its messages.
    number: u16,
    len_bytes: u16,
}

impl Head {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.sender, 0];
        for field in [self.epoch, self.number, self.len_bytes] {
            bytes.extend(field.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Head {
        let field = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Head { sender: bytes[0], epoch: field(2), number: field(4), len_bytes: field(6) }
    }

    fn text(self) -> Vec<u8> {
        let stream = u64::from(self.sender) << 16 | u64::from(self.number);
        stretch(stream, 0, u64::from(self.len_bytes))
    }
}

#[derive(Default)]
struct Room {
    members: RefCell<BTreeMap<u64, UnboundedSender<Rc<[u8]>>>>,
    joined: Cell<u64>,
    /// The numbers of the messages that each sender got through, as they came.
    heard: RefCell<BTreeMap<u8, Vec<u16>>>,
}

pub(crate) async fn play(stage: Rc<Stage>) {
    let listener = listen(&stage).await;
    let address = listener.local_addr().expect("an address");
    let (room, connections) = (Rc::<Room>::default(), Tasks::default());
    let server = serve(Rc::clone(&stage), listener, Rc::clone(&room), Rc::clone(&connections));
    let server = spawn(server);
    let most = steps(6, 2) as u64;
    let members: Vec<_> = (0..1 + stage.below(most))
        .map(|sender| {
            let messages = 1 + stage.below(steps(12, 3) as u64) as u16;
            (
                sender as u8,
                messages,
                spawn(member(Rc::clone(&stage), address, sender as u8, messages)),
            )
        })
        .collect();
    let (said, tasks): (Vec<_>, Vec<_>) =
        members.into_iter().map(|(sender, messages, task)| ((sender, messages), task)).unzip();
    for member in join_all(tasks).await {
        member.expect("no member panics");
    }
    server.abort();
    assert!(server.await.is_err_and(|error| error.is_cancelled()), "the server ends by this alone");
    all_end(&connections).await;
    assert!(room.members.borrow().is_empty(), "all have left");
    for (sender, messages) in said {
        let heard = room.heard.borrow_mut().remove(&sender).unwrap_or_default();
        let mut once = heard.clone();
        once.sort_unstable();
        once.dedup();
        assert!(once == (0..messages).collect::<Vec<_>>(), "of {sender} was heard {heard:?}");
    }
}

async fn serve(stage: Rc<Stage>, listener: TcpListener, room: Rc<Room>, connections: Tasks) {
    let _life = stage.life();
    let mut incoming = listener.incoming();
    while let Some(accepted) = incoming.next().await {
        match accepted {
            Ok(stream) => {
                let (sender, messages) = unbounded();
                let id = room.joined.replace(room.joined.get() + 1);
                room.members.borrow_mut().insert(id, sender);
                let stream = Rc::new(stream);
                let reads = read(Rc::clone(&stage), Rc::clone(&stream), Rc::clone(&room), id);
                let writes = write(Rc::clone(&stage), stream, messages);
                connections.borrow_mut().extend([spawn(reads), spawn(writes)]);
            }
            Err(error) => stage.again(&error).await,
        }
    }
}

/// Hears a member until it leaves, then has its writer end.
async fn read(stage: Rc<Stage>, stream: Rc<TcpStream>, room: Rc<Room>, id: u64) {
    let _life = stage.life();
    if let Err(error) = hear(&stage, &stream, &room).await {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            stage.trouble.set(stage.trouble.get() + 1);
        }
        stage.again(&error).await;
    }
    let left = room.members.borrow_mut().remove(&id);
    drop(left);
}

async fn hear(stage: &Stage, stream: &TcpStream, room: &Room) -> io::Result<()> {
    loop {
        let Some((head, text)) = receive(stage, stream).await? else { return Ok(()) };
        assert_eq!(text, head.text(), "what the server got");
        room.heard.borrow_mut().entry(head.sender).or_default().push(head.number);
        let message: Rc<[u8]> = [head.to_bytes(), text].concat().into();
        for member in room.members.borrow().values() {
            // One whose writer has failed is about to leave.
            let _ = member.unbounded_send(Rc::clone(&message));
        }
    }
}

async fn write(stage: Rc<Stage>, stream: Rc<TcpStream>, mut messages: UnboundedReceiver<Rc<[u8]>>) {
    let _life = stage.life();
    while let Some(message) = messages.next().await {
        if let Err(failed) = stream.send_all(message.to_vec()).await {
            stage.trouble.set(stage.trouble.get() + 1);
            // So that its reader ends as well.
            let _ = stream.shutdown(Shutdown::Both).await;
            return stage.again(failed.error()).await;
        }
    }
}

/// A message, or the end. Receives are dropped now and then: what they had received comes with the next.
async fn receive(stage: &Stage, stream: &TcpStream) -> io::Result<Option<(Head, Vec<u8>)>> {
    let Some(head) = exactly(stage, stream, HEAD_BYTES).await? else { return Ok(None) };
    let head = Head::from_bytes(&head);
    match exactly(stage, stream, usize::from(head.len_bytes)).await? {
        Some(text) => Ok(Some((head, text))),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// So many bytes; `None` at the end of the stream.
async fn exactly(
    stage: &Stage,
    stream: &TcpStream,
    len_bytes: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut got: Vec<u8> = Vec::new();
    while got.len() < len_bytes {
        let room = Vec::with_capacity(len_bytes).slice(..len_bytes - got.len());
        let more = match timeout(stage.moment(), stream.recv_exact(room)).await {
            Ok(Ok((_, more))) => more,
            Ok(Err(failed)) => {
                let (error, more) = failed.into_parts();
                got.extend(more.into_buf());
                match error.kind() {
                    io::ErrorKind::UnexpectedEof if got.is_empty() => return Ok(None),
                    _ if is_passing(&error) => continue,
                    _ => return Err(error),
                }
            }
            Err(_) => continue,
        };
        got.extend(more.into_buf());
    }
    Ok(Some(got))
}

async fn member(stage: Rc<Stage>, address: SocketAddr, sender: u8, messages: u16) {
    let _life = stage.life();
    let confirmed = Cell::new(0);
    for epoch in 0.. {
        let before = stage.mishaps();
        let error = match session(&stage, address, (sender, epoch), &confirmed, messages).await {
            Ok(()) => return,
            Err(error) => error,
        };
        stage.excuses(&error, before, format_args!("member {sender}"));
        stage.again(&error).await;
    }
}

/// One connection: says what is not confirmed yet, and hears until all of it is.
async fn session(
    stage: &Stage,
    address: SocketAddr,
    (sender, epoch): (u8, u16),
    confirmed: &Cell<u16>,
    messages: u16,
) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let says = async {
        for number in confirmed.get()..messages {
            let len_bytes = stage.of_any_size(2000) as u16;
            let head = Head { sender, epoch, number, len_bytes };
            stream.send_all([head.to_bytes(), head.text()].concat()).await?;
            if stage.below(3) == 0 {
                sleep(stage.moment()).await;
            }
        }
        Ok(())
    };
    let hears = async {
        let mut next = BTreeMap::new();
        while confirmed.get() < messages {
            let Some((head, text)) = receive(stage, &stream).await? else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            assert_eq!(text, head.text(), "what member {sender} got");
            let expected = next.entry((head.sender, head.epoch)).or_insert(head.number);
            assert_eq!(head.number, *expected, "a message of {head:?} is missing");
            *expected += 1;
            if (head.sender, head.epoch) == (sender, epoch) {
                assert_eq!(head.number, confirmed.get(), "its own messages in order");
                confirmed.set(head.number + 1);
            }
        }
        Ok(())
    };
    try_join(says, hears).await.map(drop)
}
