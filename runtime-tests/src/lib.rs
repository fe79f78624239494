//! What the tests of every situation share.
