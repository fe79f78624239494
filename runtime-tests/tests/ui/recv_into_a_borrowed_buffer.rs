use uring::net::TcpStream;

async fn greeting(stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut buf = vec![0; 512];
    stream.recv(&mut buf).await?;
    Ok(buf)
}

fn main() {}
