//! What a runtime and a single operation cost.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::{Access, Arguments, Meter, Report, Runtime};

/// Operations between two looks at the clock.
const BATCH: u64 = 64;

/// `tasks` tasks, each with one operation under way that does nothing.
pub(crate) fn nop<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let (tasks, window) = (arguments.number("tasks", 1)?, arguments.window()?);
    R::block_on(async move {
        // The first ones fill the caches and whatever the runtime allocates once.
        for _ in 0..BATCH {
            R::nop().await?;
        }
        let ops = Rc::new(Cell::new(0));
        let meter = Meter::start();
        let tasks = (0..tasks).map(|_| {
            let ops = Rc::clone(&ops);
            R::spawn(async move {
                while !meter.is_over(window) {
                    for _ in 0..BATCH {
                        R::nop().await?;
                    }
                    ops.set(ops.get() + BATCH);
                }
                io::Result::Ok(())
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await?;
        }
        Ok(meter.stop(ops.get()))
    })
}

/// A runtime made, told to do nothing, dropped.
pub(crate) fn start<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    R::block_on(async {});
    let (meter, mut ops) = (Meter::start(), 0);
    while !meter.is_over(window) {
        R::block_on(async {});
        ops += 1;
    }
    Ok(meter.stop(ops))
}

/// A runtime made, a file opened and read, all dropped.
pub(crate) fn first<R: Runtime>(arguments: &Arguments) -> io::Result<Report> {
    let window = arguments.window()?;
    let (meter, mut ops) = (Meter::start(), 0);
    while !meter.is_over(window) {
        R::block_on(async {
            let file = R::open(Path::new("/proc/self/status"), Access::Read).await?;
            R::read_at(&file, vec![0; 64], 0, 64, 0).await?;
            R::close(file).await
        })?;
        ops += 1;
    }
    Ok(meter.stop(ops))
}
