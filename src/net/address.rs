//! What can be bound and connected to, and looking names up.

use std::io;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::blocking::{self, AtShutdown};
use crate::io::OpError;

/// What an argument says of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// These, to be tried in this order.
    Known(Vec<SocketAddr>),
    /// Those that a name stands for.
    Named {
        /// The name, as `getaddrinfo(3)` takes it.
        host: String,
        /// The port.
        port: u16,
    },
}

/// What can be bound and connected to: the types that `std` has for it, and names.
///
/// | type | |
/// |---|---|
/// | [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`] | that address |
/// | `(IpAddr, u16)`, `(Ipv4Addr, u16)`, `(Ipv6Addr, u16)` | that address |
/// | `&[SocketAddr]` | each in turn |
/// | `(&str, u16)`, `(String, u16)` | an IP address or a host name, and a port |
/// | `&str`, `String` | the same as `"host:port"`; IPv6 addresses as `"[::1]:80"` |
///
/// Addresses cost nothing. Names are looked up by `getaddrinfo(3)`, which may block for seconds, so it runs on
/// one of the runtime's [threads for that](crate::Builder::max_blocking_threads), and waits for one when all are
/// busy. When the future that waits for it is dropped, the answer is dropped too.
///
/// ```
/// use uring::net::{Addresses, ToSocketAddrs};
///
/// # fn main() -> std::io::Result<()> {
/// assert_eq!("127.0.0.1:80".to_addresses()?, ([127, 0, 0, 1], 80).to_addresses()?);
/// let named = Addresses::Named { host: "localhost".into(), port: 80 };
/// assert_eq!("localhost:80".to_addresses()?, named);
/// # Ok(())
/// # }
/// ```
pub trait ToSocketAddrs {
    /// The addresses, or the name to look up. Does not block.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), with the text in its message, for a string without a
    /// valid port.
    fn to_addresses(&self) -> io::Result<Addresses>;
}

macro_rules! known_addresses {
    ($($address:ty),+) => {$(
        impl ToSocketAddrs for $address {
            fn to_addresses(&self) -> io::Result<Addresses> {
                Ok(Addresses::Known(vec![SocketAddr::from(*self)]))
            }
        }
    )+};
}

known_addresses!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
    ([u8; 4], u16)
);

impl ToSocketAddrs for [SocketAddr] {
    fn to_addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses::Known(self.to_vec()))
    }
}

impl ToSocketAddrs for (&str, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        let (host, port) = *self;
        Ok(match host.parse::<IpAddr>() {
            Ok(ip) => Addresses::Known(vec![SocketAddr::new(ip, port)]),
            Err(_) => Addresses::Named { host: host.to_owned(), port },
        })
    }
}

impl ToSocketAddrs for (String, u16) {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (self.0.as_str(), self.1).to_addresses()
    }
}

impl ToSocketAddrs for str {
    fn to_addresses(&self) -> io::Result<Addresses> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return Ok(Addresses::Known(vec![address]));
        }
        let parts = self.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() => (host, port).to_addresses(),
            _ => {
                let message = format!("{self:?} is no address: write HOST:PORT or [IPV6]:PORT");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }
}

impl ToSocketAddrs for String {
    fn to_addresses(&self) -> io::Result<Addresses> {
        self.as_str().to_addresses()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    fn to_addresses(&self) -> io::Result<Addresses> {
        (**self).to_addresses()
    }
}

/// The addresses that an argument stands for, one at least.
///
/// # Errors
///
/// Those of [`ToSocketAddrs::to_addresses`]; a failed look-up names the host.
pub(super) async fn resolve(to: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    let found = match to.to_addresses()? {
        Addresses::Known(addresses) => addresses,
        Addresses::Named { host, port } => {
            let answer = look_up(host.clone(), port).await;
            answer.map_err(|error| OpError::new("look up", host, error))?
        }
    };
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try"));
    }
    Ok(found)
}

/// Asks `getaddrinfo(3)` on a thread for calls that block.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let ask = move || {
        let found = net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port));
        found.map(Vec::from_iter)
    };
    blocking::run(AtShutdown::LeaveIt, ask).await?
}

/// Tries each address until one succeeds; the error is that of the last.
///
/// # Errors
///
/// It names `operation` and the address.
pub(super) async fn try_each<T>(
    operation: &'static str,
    addresses: impl ToSocketAddrs,
    attempt: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failed = None;
    for address in resolve(addresses).await? {
        match attempt(address).await {
            Ok(done) => return Ok(done),
            Err(error) => failed = Some(OpError::new(operation, address, error)),
        }
    }
    Err(failed.map_or_else(|| io::ErrorKind::InvalidInput.into(), io::Error::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str, port: u16) -> Addresses {
        Addresses::Named { host: host.into(), port }
    }

    #[test]
    fn addresses_are_known_and_names_are_to_be_looked_up() {
        let v4: SocketAddr = ([127, 0, 0, 1], 80).into();
        let v6: SocketAddr = (Ipv6Addr::LOCALHOST, 80).into();
        for (text, expected) in [
            ("127.0.0.1:80", Addresses::Known(vec![v4])),
            ("[::1]:80", Addresses::Known(vec![v6])),
            ("example.org:80", named("example.org", 80)),
        ] {
            assert_eq!(text.to_addresses().expect("valid"), expected);
            assert_eq!(text.to_owned().to_addresses().expect("valid"), expected);
        }
        assert_eq!(("::1", 80).to_addresses().expect("valid"), Addresses::Known(vec![v6]));
        assert_eq!(("a.b".to_owned(), 1).to_addresses().expect("valid"), named("a.b", 1));
        assert_eq!([v4, v6][..].to_addresses().expect("valid"), Addresses::Known(vec![v4, v6]));
    }

    #[test]
    fn a_string_without_a_port_is_refused_with_its_text() {
        for text in ["", "localhost", "localhost:", ":80", "localhost:http", "127.0.0.1:65536"] {
            let error = text.to_addresses().expect_err(text);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
