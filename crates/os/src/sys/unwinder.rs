//! The names by which the standard library finds an unwinder, and nothing behind them.
//!
//! It has one in reserve to print backtraces, which the `ward` that ships cannot: there are no
//! tables to unwind by. Without these, 50 kB of unwinder would come along for that.

/// What `_Unwind_Backtrace` answers: there is no caller (`_URC_END_OF_STACK`).
const END_OF_STACK: usize = 5;

/// Functions of any arguments, none of which is looked at.
macro_rules! nothing {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> usize {
                END_OF_STACK
            }
        )*
    };
}

nothing! {
    _Unwind_Backtrace
    _Unwind_FindEnclosingFunction
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_SetGR
    _Unwind_SetIP
}
