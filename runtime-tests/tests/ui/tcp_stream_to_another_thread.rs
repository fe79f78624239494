use uring::net::TcpStream;

fn serve(stream: TcpStream) {
    std::thread::spawn(move || drop(stream));
}

fn main() {}
