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

  it.each(['a.safetensors:strong', 'a.safetensors:', 'b.safetensors,a.safetensors:1.2.3'])(
    'refuses the weight of %s',
    (text) =>
      expect(() => read({ lora: text })).toThrow(
        /--lora: '[^']*' is not a weight. Give a number, such as --lora a.saf/,
      ),
  );
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
    expect(() => read({ controlnet: 'canny' })).toThrow(/one for each ControlNet: 1, not 0/);
    expect(() => read({ 'control-scale': '1' })).toThrow(/there is no ControlNet/);
  });
});

describe('additions', () => {
  it('become options of the call, and are kept for the recipe as they were given', () => {
    const { additions } = read({
      'pag-scale': '3',
      'cache-interval': '3',
      'pag-layers': 'mid,up_blocks.1',
      'hires-size': '640x512',
      'hires-upscaler': 'lanczos',
      'original-size': '1023x767',
      'crops-coords': '8,16',
      'aesthetic-score': '7',
      freeu: '0.9,0.2,1.2,1.4',
      'vae-tiling': true,
    });
    expect(additions).toMatchObject({
      options: {
        pagScale: 3,
        cacheInterval: 3,
        pagAppliedLayers: ['mid', 'up_blocks.1'],
        hires: { width: 640, height: 512, upscaler: 'lanczos' },
        originalSize: [767, 1023],
        cropsCoordsTopLeft: [8, 16],
      },
      refining: { aestheticScore: 7 },
      freeU: { s1: 0.9, s2: 0.2, b1: 1.2, b2: 1.4 },
      tiling: true,
      slicing: false,
      texts: { hiresSize: '640x512', vaeTiling: 'true', cropsCoords: '8,16' },
    });
  });

  it('find IP-Adapters on the Hub, and have a picture and a scale for each', () => {
    const { additions } = read({
      'ip-adapter': 'h94/IP-Adapter/models/ip-adapter_sd15.safetensors,h94/IP-Adapter/models/x.safetensors',
      'ip-adapter-image': 'a.png,b.png',
      'ip-adapter-scale': '0.5',
      'ip-adapter-mask': 'left.png,right.png',
    });
    const place = { source: 'h94/IP-Adapter', subfolder: 'models' };
    expect(additions.adapters).toEqual([
      { ...place, weightName: 'ip-adapter_sd15.safetensors' },
      { ...place, weightName: 'x.safetensors' },
    ]);
    expect(additions.adapterScales).toEqual([0.5, 0.5]);
    expect(additions.adapterMasks).toEqual(['left.png', 'right.png']);
  });

  it.each([
    [{ 'ip-adapter': 'a/b/c.safetensors' }, /one for each IP-Adapter: 1, not 0/],
    [
      { 'ip-adapter': 'a/b/c.safetensors', 'ip-adapter-image': 'a.png', 'ip-adapter-mask': 'a.png,b.png' },
      /one for each IP-Adapter: 1, not 2/,
    ],
    [{ 'ip-adapter': 'nothing.bin', 'ip-adapter-image': 'a.png' }, /there is no file/],
    [{ 'hires-strength': '0.5' }, /no second pass/],
    [{ 'hires-scale': '2', 'hires-upscaler': 'magic' }, /'magic'/],
    [{ freeu: '1,2' }, /four numbers/],
    [{ 'crops-coords': '1' }, /two numbers/],
    [{ 'pag-scale': '-1' }, /pag-scale/],
  ])('refuse %j', (args, message) => expect(() => read(args)).toThrow(message));
});
