/** @file Reads what the make_*.py scripts stored under test/fixtures, and finds the starter model. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { bufferSource } from '../../src/loaders/byte-source.ts';
import { openSafetensors } from '../../src/loaders/safetensors.ts';
import { decodeToF32, decodeToI32 } from '../../src/tensor/decode.ts';

/** Programs that were bundled are elsewhere, and are told where the fixtures are. */
const FIXTURES = new URL(process.env['CALOTYPE_TEST_FIXTURES'] ?? new URL('../fixtures/', import.meta.url));

/** The environment of a program that reads them. */
export const FIXTURES_ENVIRONMENT = { CALOTYPE_TEST_FIXTURES: FIXTURES.href };

/** The starter model's folder in this repository. */
export const STARTER = fileURLToPath(new URL('../../models/emoji-starter/', import.meta.url));

/** Path of a file or folder under test/fixtures. */
export function fixturePath(path: string): string {
  return fileURLToPath(new URL(path, FIXTURES));
}

/** A JSON fixture, checked against a schema. */
export function readFixtureJson<Output>(path: string, schema: v.GenericSchema<unknown, Output>): Output {
  const value: unknown = JSON.parse(readFileSync(fixturePath(path), 'utf8'));
  return v.parse(schema, value);
}

/** The tensors of a safetensors fixture, all in memory. */
export interface TensorFixture {
  /** Every tensor's name, in the file's order. */
  readonly names: readonly string[];
  /** The dimensions of a tensor. Throws for an unknown name, as the two below do. */
  shape(name: string): readonly number[];
  /** A tensor as float32, whatever it is stored as. */
  f32(name: string): Float32Array;
  /** A tensor of whole numbers as int32. */
  i32(name: string): Int32Array;
}

/** Opens a safetensors fixture under test/fixtures. */
export async function openTensorFixture(path: string): Promise<TensorFixture> {
  const file = await openSafetensors(bufferSource(path, readFileSync(fixturePath(path))));
  const names = [...file.names()];
  const bytes = new Map(await Promise.all(names.map(async (name) => [name, await file.read(name)] as const)));
  const read = (name: string) => {
    // `info` throws for unknown names.
    const { dtype } = file.info(name);
    return { dtype, content: bytes.get(name) ?? new Uint8Array() };
  };
  return {
    names,
    shape: (name) => file.info(name).shape,
    f32: (name) => decodeToF32(read(name).content, read(name).dtype),
    i32: (name) => decodeToI32(read(name).content, read(name).dtype),
  };
}
