//! Files are copied, several at once, by blocks and by `io::copy`, through every error.

use std::io;
use std::rc::Rc;

use futures::future::join_all;
use runtime_tests::steps;
use uring::fs::{File, OpenOptions};
use uring::spawn;
use uring::time::timeout;

use super::harness::{Stage, stretch};

pub(crate) async fn play(stage: Rc<Stage>) {
    let copies = (0..1 + stage.below(4)).map(|number| spawn(copy(Rc::clone(&stage), number)));
    for copied in join_all(copies).await {
        copied.expect("no copy panics");
    }
}

async fn copy(stage: Rc<Stage>, number: u64) {
    let _life = stage.life();
    let (from, to) = (format!("/data/{number}"), format!("/tmp/{number}"));
    let content = stretch(number, 0, stage.of_any_size(steps(200_000, 5000) as u64));
    stage.sim.write_file(&from, &content);
    if stage.below(3) == 0 {
        while let Err(error) = whole(&from, &to).await {
            stage.again(&error).await;
        }
    } else {
        by_blocks(&stage, &from, &to, content.len() as u64).await;
    }
    assert!(stage.sim.read_file(&to).is_some_and(|copied| copied == content), "a copy differs");
}

/// At one go; after an error all of it again.
async fn whole(from: &str, to: &str) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from).await?, File::create(to).await?);
    uring::io::copy(&mut from, &mut to).await?;
    to.sync_all().await?;
    // Even where it reports an error, the descriptor is gone.
    to.close().await
}

/// Block by block; after an error the block again.
async fn by_blocks(stage: &Stage, from: &str, to: &str, len_bytes: u64) {
    let (from, to) = (open(stage, from, false).await, open(stage, to, true).await);
    let mut offset = 0;
    while offset < len_bytes {
        match block(stage, &from, &to, offset).await {
            Ok(0) => panic!("the file ends at {offset} of {len_bytes} bytes"),
            Ok(n) => offset += n,
            Err(error) => stage.again(&error).await,
        }
    }
    while let Err(error) = to.sync_all().await {
        stage.again(&error).await;
    }
    if let Err(error) = to.close().await {
        stage.again(&error).await;
    }
}

/// Copies one block, and gives up now and then; what was on its way then writes nothing else.
async fn block(stage: &Stage, from: &File, to: &File, offset: u64) -> io::Result<u64> {
    let room = Vec::with_capacity(1 + stage.of_any_size(64 << 10) as usize);
    let patience = stage.moment();
    let (n, bytes) = match timeout(patience, from.read_at(room, offset)).await {
        Ok(read) => read?,
        Err(_) => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
    };
    match timeout(patience, to.write_all_at(bytes, offset)).await {
        Ok(written) => written?,
        Err(_) => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
    };
    Ok(n as u64)
}

async fn open(stage: &Stage, path: &str, writes: bool) -> File {
    loop {
        match OpenOptions::new().read(!writes).write(writes).create(writes).open(path).await {
            Ok(file) => return file,
            Err(error) => stage.again(&error).await,
        }
    }
}
