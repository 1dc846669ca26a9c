/** @file How the arguments of `calotype generate` become a request. */
import { describe, expect, it } from 'vitest';
import { readGenerateRequest } from '../../cli/src/request.ts';

const read = (args: Readonly<Record<string, unknown>>) => readGenerateRequest({ prompt: 'x', ...args });

describe('LoRA files', () => {
  it.each([
    ['style.safetensors', [{ source: 'style.safetensors', name: 'style', weight: 1 }]],
    [
      'a/b.safetensors:0.8,owner/name:-.5',
      [
        { source: 'a/b.safetensors', name: 'b', weight: 0.8 },
        { source: 'owner/name', name: 'name', weight: -0.5 },
      ],
    ],
    ['C:\\x\\y.safetensors', [{ source: 'C:\\x\\y.safetensors', name: 'y', weight: 1 }]],
  ])('reads %s', (text, loras) => expect(read({ lora: text }).loras).toEqual(loras));
});

describe('ControlNets', () => {
  it('have a picture each, and numbers of which the last goes on', () => {
    const { control, settings } = read({
      controlnet: 'canny,depth',
      'control-image': 'a.png,b.png',
      'control-scale': '0.5',
      'control-end': '0.8,1',
      'guess-mode': true,
    });
    expect(control).toEqual({ nets: ['canny', 'depth'], images: ['a.png', 'b.png'] });
    expect(settings).toEqual({
      controlnetConditioningScale: [0.5, 0.5],
      controlGuidanceEnd: [0.8, 1],
      guessMode: true,
    });
  });

  it('are refused without pictures, and numbers without them', () => {
    expect(() => read({ controlnet: 'canny' })).toThrow(/0 pictures for 1 ControlNets/);
    expect(() => read({ 'control-scale': '1' })).toThrow(/there is no ControlNet/);
  });
});
