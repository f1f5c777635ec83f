//! What queries cost: criterion benches in `benches/`, and the same work on peers in `peers/`. There is no library here.
