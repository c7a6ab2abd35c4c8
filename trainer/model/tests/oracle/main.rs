//! Networks, their parts and the optimizers against numbers from PyTorch, in float64.
//!
//! `scripts/golden/networks.py` writes `resnet.*` and `layers.npz` with torchvision, `optim.py`
//! writes `optim.json`.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "../../../tests/golden/mod.rs"]
mod golden;
mod layers;
mod optim;
mod resnet;
