//! One direction of a pair of views.

use tch::Tensor;

use super::views::View;

/// A view behind the backbone of one network.
pub struct Seen<'a> {
    /// C5 map, `[n, c, h, w]`.
    pub map: Tensor,
    /// Where it comes from.
    pub view: &'a View,
}

/// The online network looks at `from` and predicts what the target network makes of `to`.
pub struct Direction<'a> {
    /// The online network's view.
    pub from: Seen<'a>,
    /// The target network's view, without graph.
    pub to: Seen<'a>,
}
