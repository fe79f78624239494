use uring::task::JoinHandle;

fn abort_elsewhere(task: JoinHandle<()>) {
    std::thread::spawn(move || task.abort());
}

fn main() {}
