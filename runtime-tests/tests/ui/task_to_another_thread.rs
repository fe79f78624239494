use uring::fd::Fd;

async fn keep(fd: Fd) {
    std::future::ready(()).await;
    drop(fd);
}

fn serve(fd: Fd) {
    let task = keep(fd);
    std::thread::spawn(move || uring::Runtime::new().unwrap().block_on(task));
}

fn main() {}
