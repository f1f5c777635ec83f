//! What the source kinds do with real data: one binary, since each links the engine.

#[cfg(test)]
mod postgres;
