//! The contents of members, as streams that own what they read from.

use std::io::Read;

/// The contents of a member.
pub(crate) type Contents = Box<dyn Read + Send>;
