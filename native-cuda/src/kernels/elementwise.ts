/**
 * @file The element-wise ops that no pass could fuse: activate, add, addBias, addGated, addRows, addScaled, affine, geglu,
 * multiply.
 */

import { channelsOf, defineCudaKernel, elementCount, elementOf, rowsOf } from '../kernel.ts';
import { defineLaunch } from '../launch.ts';
import { activationCode } from './activation.ts';

export const activateLaunch = defineLaunch('activate', {
  x: 'pointer',
  y: 'pointer',
  count: 'i64',
  activation: 'i32',
  element: 'i32',
});

export const addLaunch = defineLaunch('add', {
  a: 'pointer',
  b: 'pointer',
  y: 'pointer',
  count: 'i64',
  element: 'i32',
});

export const affineLaunch = defineLaunch('affine', {
  x: 'pointer',
  y: 'pointer',
  count: 'i64',
  scale: 'f32',
  shift: 'f32',
  element: 'i32',
});

export const addVectorsLaunch = defineLaunch('add_vectors', {
  x: 'pointer',
  table: 'pointer',
  rowIndex: 'pointer',
  y: 'pointer',
  count: 'i64',
  imageElements: 'i64',
  channels: 'i32',
  tableRows: 'i32',
  element: 'i32',
});

export const addScaledLaunch = defineLaunch('add_scaled', {
  x: 'pointer',
  addend: 'pointer',
  scale: 'pointer',
  y: 'pointer',
  count: 'i64',
  imageElements: 'i64',
  channels: 'i32',
  columns: 'i32',
  column: 'i32',
  vectors: 'i32',
  element: 'i32',
});

export const addGatedLaunch = defineLaunch('add_gated', {
  x: 'pointer',
  addend: 'pointer',
  modulation: 'pointer',
  table: 'pointer',
  y: 'pointer',
  count: 'i64',
  imageElements: 'i64',
  channels: 'i32',
  columns: 'i32',
  gate: 'i32',
  element: 'i32',
});

export const multiplyLaunch = defineLaunch('multiply', {
  a: 'pointer',
  b: 'pointer',
  y: 'pointer',
  count: 'i64',
  element: 'i32',
});

export const gegluLaunch = defineLaunch('geglu', {
  x: 'pointer',
  y: 'pointer',
  rows: 'i64',
  channels: 'i32',
  element: 'i32',
});

export const elementwise = defineCudaKernel({
  id: 'elementwise',
  ops: ['activate', 'add', 'addBias', 'addGated', 'addRows', 'addScaled', 'affine', 'geglu', 'multiply'],
  otherTypes: ['scale'],
  inPlace: ({ kind }) => {
    if (kind === 'geglu') return undefined;
    return kind === 'add' || kind === 'multiply' ? 'a' : 'x';
  },
  launches(node, context) {
    const shape = context.shapeOf(node.output);
    const count = elementCount(shape);
    const element = elementOf(context, node.output);
    switch (node.kind) {
      case 'activate': {
        const activation = activationCode(node.attrs.activation);
        return [activateLaunch.with({ x: 'x', y: 'y', count, activation, element })];
      }
      case 'add':
        return [addLaunch.with({ a: 'a', b: 'b', y: 'y', count, element })];
      case 'multiply':
        return [multiplyLaunch.with({ a: 'a', b: 'b', y: 'y', count, element })];
      case 'addGated': {
        const sizes = {
          imageElements: count / shape[0],
          channels: channelsOf(context, node.output),
          columns: channelsOf(context, node.inputs.modulation),
        };
        const operands = { x: 'x', addend: 'addend', modulation: 'modulation', table: 'table', y: 'y' };
        return [addGatedLaunch.with({ ...operands, count, ...sizes, ...node.attrs, element })];
      }
      case 'affine':
        return [affineLaunch.with({ x: 'x', y: 'y', count, ...node.attrs, element })];
      case 'addScaled': {
        const isVector = context.shapeOf(node.inputs.addend).length < shape.length;
        const sizes = {
          imageElements: count / shape[0],
          channels: channelsOf(context, node.output),
          columns: channelsOf(context, node.inputs.scale),
          vectors: isVector ? 1 : 0,
        };
        const operands = { x: 'x', addend: 'addend', scale: 'scale', y: 'y' };
        return [addScaledLaunch.with({ ...operands, count, ...sizes, ...node.attrs, element })];
      }
      case 'geglu': {
        const [rows, channels] = [rowsOf(context, node.output), channelsOf(context, node.output)];
        return [gegluLaunch.with({ x: 'x', y: 'y', rows, channels, element })];
      }
      case 'addBias':
      case 'addRows': {
        const isBias = node.kind === 'addBias';
        const vectors = {
          table: isBias ? 'bias' : 'rows',
          rowIndex: isBias ? 'none' : 'rowIndex',
          imageElements: isBias ? count : count / shape[0],
          tableRows: isBias ? 1 : context.shapeOf(node.inputs.rows)[0],
        };
        const channels = channelsOf(context, node.output);
        return [addVectorsLaunch.with({ x: 'x', y: 'y', count, channels, element, ...vectors })];
      }
    }
  },
});
