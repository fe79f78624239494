//! Socket addresses in the form the kernel reads and writes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A `struct sockaddr_storage` and its length, kept as bytes so that no cast between address structs is
/// needed. The offsets are those of `ip(7)` and `ipv6(7)`.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub struct Address {
    bytes: [u8; 128],
    len_bytes: u32,
}

impl Address {
    /// Room for the kernel to write any address into.
    pub fn empty() -> Address {
        Address { bytes: [0; 128], len_bytes: 128 }
    }

    /// An address that a program lent to a kernel in user space; `None` if it is too long to be one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Address> {
        let mut address = Address { bytes: [0; 128], len_bytes: bytes.len() as u32 };
        address.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(address)
    }

    /// The address as `std` has it; `None` for families other than IPv4 and IPv6.
    pub fn to_std(&self) -> Option<SocketAddr> {
        let b = &self.bytes;
        let port = u16::from_be_bytes([b[2], b[3]]);
        match i32::from(u16::from_ne_bytes([b[0], b[1]])) {
            libc::AF_INET if self.len_bytes >= 16 => {
                let ip = Ipv4Addr::new(b[4], b[5], b[6], b[7]);
                Some(SocketAddrV4::new(ip, port).into())
            }
            libc::AF_INET6 if self.len_bytes >= 28 => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&b[8..24]);
                let flow = u32::from_ne_bytes([b[4], b[5], b[6], b[7]]);
                let scope = u32::from_ne_bytes([b[24], b[25], b[26], b[27]]);
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
            }
            _ => None,
        }
    }

    /// The bytes that hold the address.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..(self.len_bytes as usize).min(self.bytes.len())]
    }

    /// The whole room, and the length the kernel replaces by the one it wrote.
    pub(crate) fn parts_mut(&mut self) -> (&mut [u8; 128], &mut u32) {
        (&mut self.bytes, &mut self.len_bytes)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let mut bytes = [0; 128];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let len_bytes = match address {
            SocketAddr::V4(v4) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                16
            }
            SocketAddr::V6(v6) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                28
            }
        };
        Address { bytes, len_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        for text in ["127.0.0.1:80", "255.1.2.3:65535", "[::1]:7000", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().expect("address");
            assert_eq!(Address::from(address).to_std(), Some(address));
        }
    }

    #[test]
    fn what_is_no_internet_address_is_none() {
        assert_eq!(Address::empty().to_std(), None);
    }
}
