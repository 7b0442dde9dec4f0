//! Marks in the code of the store that only proofs see (`testing/breaks.rs`): without the feature
//! `testing` they expand to nothing.

/// A proof can stop the process here for good, if the condition holds.
#[cfg(feature = "testing")]
macro_rules! break_point {
    ($point:ident) => {
        $crate::testing::reached($crate::testing::BreakPoint::$point).await
    };
    ($point:ident, $when:expr) => {
        if $when {
            $crate::testing::reached($crate::testing::BreakPoint::$point).await;
        }
    };
}

#[cfg(not(feature = "testing"))]
macro_rules! break_point {
    ($point:ident $(, $when:expr)?) => {};
}

/// From here to the end of the block is one look at the queue, whose time a proof may ask for.
#[cfg(feature = "testing")]
macro_rules! timed {
    ($look:ident) => {
        let _timed = $crate::testing::Timed::begin($crate::testing::Look::$look);
    };
}

#[cfg(not(feature = "testing"))]
macro_rules! timed {
    ($look:ident) => {};
}

pub(crate) use {break_point, timed};
