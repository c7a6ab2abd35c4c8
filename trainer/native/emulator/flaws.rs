// Flaws that the check at a run's start has to find: what each is, and how the kernels' source changes for it. The build
// compiles a copy for each (build.rs), the tests run them (`with_each_flaw`).

pub(crate) struct Flaw {
    pub(crate) what: &'static str,
    pub(crate) right: &'static str,
    pub(crate) wrong: &'static str,
}

pub(crate) const FLAWS: [Flaw; 9] = [
    Flaw {
        what: "one row is left out of the mean",
        right: "? (mine.end - first + blockDim.y - 1) / blockDim.y : 0;",
        wrong: "? (mine.end - (blockIdx.y == 0) - first + blockDim.y - 1) / blockDim.y : 0;",
    },
    Flaw {
        what: "one row is left out of the gradient's sums",
        right: "const int end = inside ? mine.end : 0;",
        wrong: "const int end = inside ? mine.end - (blockIdx.y == 0) : 0;",
    },
    Flaw {
        what: "the variance lacks its eps",
        right: "joined.m2 / n + eps",
        wrong: "joined.m2 / n",
    },
    Flaw {
        what: "the running variance is the biased one",
        right: "(rows > 1 ? n - 1.f : 1.f)",
        wrong: "n",
    },
    Flaw {
        what: "the statistics are of one row less",
        right: "joined.m2 / n + eps",
        wrong: "joined.m2 / (n - 1.f) + eps",
    },
    Flaw {
        what: "the gradient's mean is over one row less",
        right: "(dbias[channel + i] / n)",
        wrong: "(dbias[channel + i] / (n - 1.f))",
    },
    Flaw {
        what: "the ReLU's mask is forgotten",
        right: "v[i] * affine.scale[i] + affine.shift[i] <= 0.f ?",
        wrong: "false ?",
    },
    Flaw {
        what: "bfloat16 is cut off, not rounded",
        right: "bits + 0x7fffu + ((bits >> 16) & 1u);",
        wrong: "bits;",
    },
    Flaw {
        what: "every channel of a view takes the shift of the first",
        right: "scale_shift[3 + channel]",
        wrong: "scale_shift[3]",
    },
];
