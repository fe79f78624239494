use uring::net::TcpStream;

async fn greet(stream: &TcpStream, name: String) -> std::io::Result<()> {
    stream.send_all(name.as_bytes()).await?;
    Ok(())
}

fn main() {}
