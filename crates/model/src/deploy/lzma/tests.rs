//! Streams of liblzma, and damaged ones.

use super::*;
use alloc::format;
use alloc::vec;
use core::convert::Infallible;

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    hex.as_bytes().chunks(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect()
}

fn unpacked(bytes: &[u8], window: u32, piece: usize) -> Result<Vec<u8>, LzmaError> {
    let mut out = Vec::new();
    let mut decoder = Decoder::new(window);
    for piece in bytes.chunks(piece) {
        let mut put = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        };
        match decoder.push(piece, &mut put) {
            Ok(_) => {}
            Err(Stop::Lzma(error)) => return Err(error),
            Err(Stop::Put(never)) => match never {},
        }
    }
    if decoder.is_over() { Ok(out) } else { Err(LzmaError::Short) }
}

/// What was packed: lines that repeat each other, noise, the first lines again, zeros.
fn text() -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..40 {
        text.extend(format!("line {}: /nix/store/{:032}\n", i % 7, i * i).into_bytes());
    }
    let begin = text[..300].to_vec();
    text.extend((0..120_u32).map(|i| (i * i * 7 + i * 13 + (i >> 3) * 91) as u8));
    text.extend(begin);
    text.extend([0; 300]);
    text
}

/// `xz --format=raw --lzma2=preset=6,dict=64KiB`.
const PACKED: &str = "e00aef013a5d00361a4a1f08a026564dc465219a0691868a9faacdd0b81e77ae4eb93a7ce3ded512\
             e0c4a821954ca207ccb598352ec8e882a178cf4d1d3654234657c6f5c3c2e8d90f2b9e1e92550a0d\
             303d8001867ca64dc60ff1f9e8f7a9c7cf554d2ff701cd9b26149d82b82b41c48854215bd1eab9f4\
             350fe3f6f4025d1c3367ae71a52383052280b7ac2e0fcddd057aa5c26980d4195996a376e784d9c5\
             99b558dea0089316c99c1ae75d60915072a6dcaaf6449e257a4fa0193c9446157fb5a3ba82a73c1a\
             198301d5c0b4770e95d8b5f2ccc9ca645b906e083c7fa71136189e0186a54a2723fecdbf43e3c8cb\
             a1d2f91db0b980cb5ef63fc88425a9aa88ad8fcec7259880a73929ba944fe1345990725bd94ac9a0\
             c1659513b846bf9ce7fdcec9d83762d03dce259e436d0c4ab242a898ac2e3f73c40ecd41c889e786\
             0000";

/// `xz --format=raw --lzma2=preset=6,dict=4KiB,lc=1,lp=2,pb=0`.
const OTHER: &str = "e00aef01461300361b1d14df11e65fe3e337db9cf62b6af253bc6c3a4b6ad12de61d6230efa4e96b\
             d06a3450ffdc707ffa506358f8a564bd4b50d0c5555c7a4e83cd258aa8a9a11a60fef220d3cec991\
             a2326d53545893b7272ffcc119754431973697761d84f0e5099b51666f48d448ff1be1b0bf2d130c\
             0925424d8e9b90516f8d4dd4650bdb405b583ab995d879c37d26fdd665f804616675c8ea8ed081fd\
             112cb15e5c2c6706ef895e5bc1933c58d87aa9f774af1283e78de02f44d7df0c2c7f02505f167ffa\
             3f1cb3fcc818b3f48ab2dfd6e4b825544c4434d2fe8c7cfc4c64bf2780bcda1fae1468815ad2fac5\
             59abe460bad1c1495b188ed5bf2d3a0d81f0ee645ce0e8c54e630d919d00e21f4d8a2901190ba328\
             fbfe8cfbcd6f772a33b298f5be401d2a5e36915605496d2ba6ecb7c7c4a38b61aac704d4ec6b46f4\
             e946a2591b25a722f01071ce4e00";

/// What cannot be packed, of 96 bytes.
const PLAIN: &str = "01005f6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4bd4735e3a26\
             5e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab354e07408562bedb8b60ce05c1de\
             cfe3ad16b72230967de01f640b7e4729b49fce00";

#[test]
fn what_liblzma_packs_is_unpacked_in_pieces_of_any_size() {
    let text = text();
    for piece in [1, 7, 100, 100_000] {
        assert_eq!(unpacked(&bytes(PACKED), 65_536, piece), Ok(text.clone()));
        // A window smaller than the text goes round.
        assert_eq!(unpacked(&bytes(OTHER), 4096, piece), Ok(text.clone()));
        let plain = bytes(PLAIN);
        assert_eq!(unpacked(&plain, 4096, piece).as_deref(), Ok(&plain[3..99]));
    }
}

#[test]
fn it_says_where_the_stream_ended() {
    let mut packed = bytes(PACKED);
    let length = packed.len();
    packed.extend(b"behind it");
    let mut decoder = Decoder::new(65_536);
    let mut count = 0;
    let mut put = |bytes: &[u8]| {
        count += bytes.len();
        Ok::<(), Infallible>(())
    };
    assert_eq!(decoder.push(&packed, &mut put), Ok(length));
    assert_eq!(count, text().len());
}

#[test]
fn damage_is_noticed_or_changes_what_comes_out() {
    let (packed, text) = (bytes(PACKED), text());
    for end in 0..packed.len() {
        assert_eq!(unpacked(&packed[..end], 65_536, 4096), Err(LzmaError::Short), "cut at {end}");
    }
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 1;
        assert_ne!(unpacked(&damaged, 65_536, 4096), Ok(text.clone()), "byte {at}");
    }
    for wrong in [vec![2, 0, 0, 7], vec![0x80, 0, 0, 0, 4, 0, 0, 0, 0, 0], vec![3], vec![0x7f]] {
        assert_eq!(unpacked(&wrong, 4096, 4096), Err(LzmaError::Corrupt), "{wrong:?}");
    }
}
