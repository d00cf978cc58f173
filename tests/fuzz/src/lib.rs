//! Placeholder text, replaced below.
