use uring::net::TcpStream;

async fn greet(stream: &TcpStream, greeting: &mut Vec<u8>) -> std::io::Result<()> {
    stream.send_all(greeting).await?;
    Ok(())
}

fn main() {}
