use uring::fs::File;

async fn first_bytes(file: &File) -> std::io::Result<usize> {
    let mut buf = [0u8; 512];
    let (n, _) = file.read_at(&mut buf[..], 0).await?;
    Ok(n)
}

fn main() {}
