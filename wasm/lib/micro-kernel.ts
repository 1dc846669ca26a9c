/**
 * @file The inner loops of all matrix products: a block of 6 or 4 rows times 8 columns in registers.
 *
 * Rows are read four steps of the sum at a time: row r begins at `a` + r * `pitch`, its next four steps are `step` bytes
 * further. So rows may lie in memory as they are (pitch: a row, step: 16) or in panels [k / 4][rows][4] (pitch: 16, step:
 * 16 * rows), which packing makes by copying vectors, without transposing. Columns are panels [k][8]. `groups` counts
 * steps of 4. Sums go to rows `stride` bytes apart, added to what is there if `accumulate`.
 *
 * The engine has 15 vector registers for the code: 6 x 8 takes 12 sums, 2 columns and 1 broadcast. 4 x 8 is for rows
 * that are no multiple of 6.
 */

import { madd } from './math';

export function multiply6x8(
  a: usize,
  pitch: usize,
  step: usize,
  b: usize,
  sums: usize,
  groups: i32,
  stride: usize,
  accumulate: bool,
): void {
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  let s20 = s00;
  let s21 = s00;
  let s30 = s00;
  let s31 = s00;
  let s40 = s00;
  let s41 = s00;
  let s50 = s00;
  let s51 = s00;
  if (accumulate) {
    let p = sums;
    s00 = v128.load(p);
    s01 = v128.load(p, 16);
    p += stride;
    s10 = v128.load(p);
    s11 = v128.load(p, 16);
    p += stride;
    s20 = v128.load(p);
    s21 = v128.load(p, 16);
    p += stride;
    s30 = v128.load(p);
    s31 = v128.load(p, 16);
    p += stride;
    s40 = v128.load(p);
    s41 = v128.load(p, 16);
    p += stride;
    s50 = v128.load(p);
    s51 = v128.load(p, 16);
  }
  let a0 = a;
  let a1 = a0 + pitch;
  let a2 = a1 + pitch;
  let a3 = a2 + pitch;
  let a4 = a3 + pitch;
  let a5 = a4 + pitch;
  const end = b + ((<usize>groups) << 7);
  while (b < end) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    x = v128.load32_splat(a4);
    s40 = madd(x, b0, s40);
    s41 = madd(x, b1, s41);
    x = v128.load32_splat(a5);
    s50 = madd(x, b0, s50);
    s51 = madd(x, b1, s51);
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a0, 4);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 4);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 4);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 4);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    x = v128.load32_splat(a4, 4);
    s40 = madd(x, b0, s40);
    s41 = madd(x, b1, s41);
    x = v128.load32_splat(a5, 4);
    s50 = madd(x, b0, s50);
    s51 = madd(x, b1, s51);
    b0 = v128.load(b, 64);
    b1 = v128.load(b, 80);
    x = v128.load32_splat(a0, 8);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 8);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 8);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 8);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    x = v128.load32_splat(a4, 8);
    s40 = madd(x, b0, s40);
    s41 = madd(x, b1, s41);
    x = v128.load32_splat(a5, 8);
    s50 = madd(x, b0, s50);
    s51 = madd(x, b1, s51);
    b0 = v128.load(b, 96);
    b1 = v128.load(b, 112);
    x = v128.load32_splat(a0, 12);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 12);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 12);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 12);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    x = v128.load32_splat(a4, 12);
    s40 = madd(x, b0, s40);
    s41 = madd(x, b1, s41);
    x = v128.load32_splat(a5, 12);
    s50 = madd(x, b0, s50);
    s51 = madd(x, b1, s51);
    a0 += step;
    a1 += step;
    a2 += step;
    a3 += step;
    a4 += step;
    a5 += step;
    b += 128;
  }
  v128.store(sums, s00);
  v128.store(sums, s01, 16);
  sums += stride;
  v128.store(sums, s10);
  v128.store(sums, s11, 16);
  sums += stride;
  v128.store(sums, s20);
  v128.store(sums, s21, 16);
  sums += stride;
  v128.store(sums, s30);
  v128.store(sums, s31, 16);
  sums += stride;
  v128.store(sums, s40);
  v128.store(sums, s41, 16);
  sums += stride;
  v128.store(sums, s50);
  v128.store(sums, s51, 16);
}

export function multiply4x8(
  a: usize,
  pitch: usize,
  step: usize,
  b: usize,
  sums: usize,
  groups: i32,
  stride: usize,
  accumulate: bool,
): void {
  let s00 = f32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  let s20 = s00;
  let s21 = s00;
  let s30 = s00;
  let s31 = s00;
  if (accumulate) {
    let p = sums;
    s00 = v128.load(p);
    s01 = v128.load(p, 16);
    p += stride;
    s10 = v128.load(p);
    s11 = v128.load(p, 16);
    p += stride;
    s20 = v128.load(p);
    s21 = v128.load(p, 16);
    p += stride;
    s30 = v128.load(p);
    s31 = v128.load(p, 16);
  }
  let a0 = a;
  let a1 = a0 + pitch;
  let a2 = a1 + pitch;
  let a3 = a2 + pitch;
  const end = b + ((<usize>groups) << 7);
  while (b < end) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a0, 4);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 4);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 4);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 4);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    b0 = v128.load(b, 64);
    b1 = v128.load(b, 80);
    x = v128.load32_splat(a0, 8);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 8);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 8);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 8);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    b0 = v128.load(b, 96);
    b1 = v128.load(b, 112);
    x = v128.load32_splat(a0, 12);
    s00 = madd(x, b0, s00);
    s01 = madd(x, b1, s01);
    x = v128.load32_splat(a1, 12);
    s10 = madd(x, b0, s10);
    s11 = madd(x, b1, s11);
    x = v128.load32_splat(a2, 12);
    s20 = madd(x, b0, s20);
    s21 = madd(x, b1, s21);
    x = v128.load32_splat(a3, 12);
    s30 = madd(x, b0, s30);
    s31 = madd(x, b1, s31);
    a0 += step;
    a1 += step;
    a2 += step;
    a3 += step;
    b += 128;
  }
  v128.store(sums, s00);
  v128.store(sums, s01, 16);
  sums += stride;
  v128.store(sums, s10);
  v128.store(sums, s11, 16);
  sums += stride;
  v128.store(sums, s20);
  v128.store(sums, s21, 16);
  sums += stride;
  v128.store(sums, s30);
  v128.store(sums, s31, 16);
}
