//! The vector index: usearch over bf16 vectors of unit length, keyed by the rows of chunks.

use std::path::Path;

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// Searches at the same time: usearch refuses what goes beyond the threads it was told of.
pub(crate) const SEARCHERS: usize = 256;
/// Room is added in steps of at least this many vectors.
const STEP: usize = 1024;

/// Why a vector was not taken, or an index not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VectorError {
    /// Its length is not that of the others.
    #[error("a vector of {got} numbers does not fit an index of {expected}")]
    Dimensions { got: usize, expected: usize },
    /// It holds NaN or infinity, or nothing but zeros, so it has no direction.
    #[error("the vector has no direction: it holds NaN or infinity, or only zeros")]
    NoDirection,
    /// usearch refused.
    #[error("usearch: {0}")]
    Engine(String),
}

/// Scales a vector to unit length.
pub(crate) fn normalised(vector: &[f32]) -> Result<Vec<f32>, VectorError> {
    let length = dot(vector, vector).sqrt();
    if !length.is_finite() || length == 0.0 {
        return Err(VectorError::NoDirection);
    }
    Ok(vector.iter().map(|number| number / length).collect())
}

/// The inner product, summed in eight lanes, which compilers turn into SIMD and which gives the same
/// bits each time.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut lanes = [0.0_f32; 8];
    for (a, b) in left.iter().zip(right) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Vectors of one length by key. `&mut self` writes, so a lock around it lets one writer in, and
/// no reader beside it: usearch takes no locks against that, and loses vectors to parallel adds.
pub(crate) struct Vectors {
    index: Index,
}

impl std::fmt::Debug for Vectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vectors")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Vectors {
    /// An empty index for vectors of `dimensions` numbers.
    pub(crate) fn new(dimensions: usize) -> Result<Self, VectorError> {
        let options = IndexOptions {
            dimensions,
            metric: MetricKind::Cos,
            quantization: ScalarKind::BF16,
            ..IndexOptions::default()
        };
        let vectors = Self {
            index: Index::new(&options).map_err(engine)?,
        };
        vectors.reserve(STEP)?;
        Ok(vectors)
    }

    /// Reads an index that [`save`](Self::save) wrote. The caller has checked its hash: usearch
    /// loads damaged files without a word, or crashes over them.
    pub(crate) fn load(path: &Path) -> Result<Self, VectorError> {
        let index = Index::restore(&path.to_string_lossy()).map_err(engine)?;
        let vectors = Self { index };
        vectors.reserve(vectors.index.capacity().max(vectors.len() + STEP))?;
        Ok(vectors)
    }

    /// Writes the index to a file, in place and without fsync.
    pub(crate) fn save(&self, path: &Path) -> Result<(), VectorError> {
        self.index.save(&path.to_string_lossy()).map_err(engine)?;
        let expected = u64::try_from(self.index.serialized_length()).ok();
        let written = path.metadata().map(|file| file.len()).ok();
        // A save to a full disk can report success.
        if written == expected {
            Ok(())
        } else {
            Err(VectorError::Engine(format!(
                "wrote {written:?} of {expected:?} bytes"
            )))
        }
    }

    /// Adds or replaces a vector of unit length.
    pub(crate) fn put(&mut self, key: i64, vector: &[f32]) -> Result<(), VectorError> {
        self.check(vector)?;
        self.remove(key)?;
        if self.len() >= self.index.capacity() {
            self.reserve(self.len() + self.len() / 2 + STEP)?;
        }
        self.index.add(key.cast_unsigned(), vector).map_err(engine)
    }

    /// Forgets a vector, if it is there.
    pub(crate) fn remove(&mut self, key: i64) -> Result<(), VectorError> {
        self.index
            .remove(key.cast_unsigned())
            .map_err(engine)
            .map(drop)
    }

    /// Whether the key has a vector.
    pub(crate) fn contains(&self, key: i64) -> bool {
        self.index.contains(key.cast_unsigned())
    }

    /// How many vectors there are.
    pub(crate) fn len(&self) -> usize {
        self.index.size()
    }

    /// How many bytes the engine has taken.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.index.memory_usage()
    }

    /// How many numbers a vector has.
    pub(crate) fn dimensions(&self) -> usize {
        self.index.dimensions()
    }

    /// Measures stored vectors against a query of unit length.
    pub(crate) fn cosines<'a>(&'a self, query: &'a [f32]) -> Cosines<'a> {
        Cosines {
            vectors: self,
            query,
            buffer: vec![0.0; self.dimensions()],
        }
    }

    /// About the `count` nearest among the keys that `allowed` lets pass, from the graph.
    pub(crate) fn near(
        &self,
        query: &[f32],
        count: usize,
        allowed: impl Fn(i64) -> bool,
    ) -> Result<Vec<i64>, VectorError> {
        self.check(query)?;
        let allowed = |key: u64| allowed(key.cast_signed());
        let found = self
            .index
            .filtered_search(query, count, allowed)
            .map_err(engine)?;
        Ok(found.keys.into_iter().map(u64::cast_signed).collect())
    }

    fn check(&self, vector: &[f32]) -> Result<(), VectorError> {
        let (got, expected) = (vector.len(), self.dimensions());
        if got != expected {
            return Err(VectorError::Dimensions { got, expected });
        }
        if vector.iter().all(|number| number.is_finite()) {
            Ok(())
        } else {
            Err(VectorError::NoDirection)
        }
    }

    fn reserve(&self, capacity: usize) -> Result<(), VectorError> {
        self.index
            .reserve_capacity_and_threads(capacity, SEARCHERS)
            .map_err(engine)
    }
}

/// Exact cosines of one query with stored vectors.
#[derive(Debug)]
pub(crate) struct Cosines<'a> {
    vectors: &'a Vectors,
    query: &'a [f32],
    buffer: Vec<f32>,
}

impl Cosines<'_> {
    /// The cosine with the vector of `key`, if there is one.
    pub(crate) fn with(&mut self, key: i64) -> Option<f32> {
        let index = &self.vectors.index;
        let found = index.get(key.cast_unsigned(), &mut self.buffer).ok()?;
        // bf16 rounding has changed the stored length a little.
        let length = dot(&self.buffer, &self.buffer).sqrt();
        (found > 0 && length > 0.0).then(|| dot(self.query, &self.buffer) / length)
    }
}

fn engine(error: impl std::fmt::Display) -> VectorError {
    VectorError::Engine(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(seed: u32) -> Vec<f32> {
        let mut state = u64::from(seed) + 1;
        let numbers = (0..64).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(state >> 48).unwrap()) / 65_536.0 - 0.5
        });
        normalised(&numbers.collect::<Vec<_>>()).unwrap()
    }

    fn filled(count: u32) -> Vectors {
        let mut vectors = Vectors::new(64).unwrap();
        (0..count).for_each(|key| vectors.put(key.into(), &unit(key)).unwrap());
        vectors
    }

    #[test]
    fn it_grows_beyond_its_first_reserve_and_finds_what_is_near() {
        let vectors = filled(3000);
        assert_eq!(vectors.len(), 3000);
        assert_eq!(vectors.near(&unit(2999), 1, |_| true).unwrap(), [2999]);
        assert_ne!(
            vectors.near(&unit(2999), 1, |key| key != 2999).unwrap(),
            [2999]
        );
        assert!(vectors.cosines(&unit(7)).with(7).unwrap() > 0.999);
    }

    #[test]
    fn putting_replaces_and_removing_forgets() {
        let mut vectors = filled(2);
        vectors.put(0, &unit(9)).unwrap();
        vectors.remove(1).unwrap();
        vectors.remove(1).unwrap();
        assert_eq!(vectors.len(), 1);
        assert!(vectors.cosines(&unit(9)).with(0).unwrap() > 0.999);
        assert_eq!(vectors.cosines(&unit(9)).with(1), None);
    }

    #[test]
    fn vectors_without_direction_are_refused() {
        let mut vectors = filled(1);
        assert!(matches!(
            vectors.put(5, &[f32::NAN; 64]),
            Err(VectorError::NoDirection)
        ));
        assert!(matches!(
            vectors.put(5, &[1.0; 3]),
            Err(VectorError::Dimensions { .. })
        ));
        assert!(normalised(&[0.0; 4]).is_err());
        assert_eq!(vectors.len(), 1);
    }

    #[test]
    fn what_was_saved_is_loaded_and_can_grow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vectors");
        filled(1500).save(&path).unwrap();
        let mut vectors = Vectors::load(&path).unwrap();
        (1500..3000_u32).for_each(|key| vectors.put(key.into(), &unit(key)).unwrap());
        assert_eq!(vectors.near(&unit(42), 1, |_| true).unwrap(), [42]);
        assert_eq!(vectors.len(), 3000);
    }
}
