/**
 * @file What stable-diffusion-webui's extension sd-webui-controlnet takes (its internal_controlnet/args.py), as
 * `alwayson_scripts.controlnet.args`: units, each with a ControlNet or an IP-Adapter and its picture. Pictures are taken as
 * they are: nothing here draws edges or poses out of them.
 */
import { Type, type Static } from '@fastify/type-provider-typebox';
import { OptionError } from 'calotype';
import { Compile } from 'typebox/compile';
import type { ControlRequest, ImagePromptRequest } from '../../draw-request.ts';
import { pngSize } from '../../limits/png-size.ts';
import { type AddedRequest, type Additions, readAdded } from '../additions.ts';
import { readBase64 } from '../base64.ts';
import { schemaError } from '../schema-error.ts';
import { anything, maybe, text, withoutHash } from './fields.ts';
import { is, isOff, refuseUnlessNeutral } from './neutral.ts';

const number = (minimum: number, maximum: number) => maybe(Type.Number({ minimum, maximum }));
const picture = maybe(
  Type.Union([Type.String(), Type.Object({ image: Type.String(), mask: Type.Optional(Type.Null()) })]),
);

const unitSchema = Type.Object(
  {
    enabled: maybe(Type.Boolean()),
    module: text(),
    model: text(),
    image: picture,
    input_image: picture,
    weight: number(-100, 100),
    guidance_start: number(0, 1),
    guidance_end: number(0, 1),
    control_mode: maybe(Type.Union([Type.String({ maxLength: 64 }), Type.Integer()])),
    resize_mode: maybe(Type.Union([Type.String({ maxLength: 64 }), Type.Integer()])),
    guessmode: maybe(Type.Boolean()),
    // Of preprocessors, and of the page.
    pixel_perfect: anything(),
    processor_res: anything(),
    threshold_a: anything(),
    threshold_b: anything(),
    low_vram: anything(),
    lowvram: anything(),
    save_detected_map: anything(),
    hr_option: anything(),
    is_ui: anything(),
    inpaint_crop_input_image: anything(),
    mask: anything(),
    mask_image: anything(),
    input_mode: anything(),
    batch_images: anything(),
    batch_image_dir: anything(),
    batch_mask_dir: anything(),
    batch_modifiers: anything(),
    loopback: anything(),
    output_dir: anything(),
    advanced_weighting: anything(),
    effective_region_mask: anything(),
    ipadapter_input: anything(),
    union_control_type: anything(),
    use_preview_as_input: anything(),
    generated_image: anything(),
    pulid_mode: anything(),
  },
  { additionalProperties: false },
);
type Unit = Static<typeof unitSchema>;
const UNIT = Compile(unitSchema);

/** Values at which what there is not asks for nothing. */
const NEUTRAL = {
  mask: isOff,
  mask_image: isOff,
  input_mode: is('simple'),
  batch_images: isOff,
  batch_modifiers: isOff,
  loopback: isOff,
  advanced_weighting: isOff,
  effective_region_mask: isOff,
  ipadapter_input: isOff,
  union_control_type: is('Unknown', 'All'),
  use_preview_as_input: isOff,
};

/** Names and numbers of modes, by what they ask for. */
const MODES: ReadonlyMap<string | number, 'balanced' | 'prompt' | 'control'> = new Map<
  string | number,
  'balanced' | 'prompt' | 'control'
>([
  ['Balanced', 'balanced'],
  [0, 'balanced'],
  ['My prompt is more important', 'prompt'],
  [1, 'prompt'],
  ['ControlNet is more important', 'control'],
  [2, 'control'],
]);
const STRETCH = new Set<string | number>(['Just Resize', 'Resize', 0]);
const KEEP = new Set<string | number>([
  'Crop and Resize',
  'Resize and Fill',
  'Inner Fit (Scale to Fit)',
  'Outer Fit (Shrink to Fit)',
  'Scale to Fit (Inner Fit)',
  'Envelope (Outer Fit)',
  1,
  2,
]);

const FIELD = 'alwayson_scripts.controlnet';
const at = (name: string): string => `${FIELD}.${name}`;

/** What units are read for. */
export interface UnitContext {
  readonly model: string;
  readonly additions: Additions;
  /** The picture of img2img, for units without one. */
  readonly image: Uint8Array | undefined;
  /** Of the request, where it has one. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
}

/** The fields of a job. Throws OptionError for what there is not, FileFormatError for pictures. */
export function readUnits(scripts: unknown, context: UnitContext): Partial<AddedRequest> {
  const { additions, model } = context;
  const controls: ControlRequest[] = [];
  const imagePrompts: ImagePromptRequest[] = [];
  const modes = new Set<string>();
  for (const unit of unitsOf(scripts)) {
    const name = withoutHash(unit.model ?? '') ?? '';
    const scale = unit.weight ?? 1;
    const [start, end] = [unit.guidance_start ?? 0, unit.guidance_end ?? 1];
    const module = unit.module ?? 'none';
    if (/^ip-adapter/i.test(module)) {
      if (start > 0 || end < 1)
        throw new OptionError('IP-Adapters take part in all steps', {
          field: at('guidance_start'),
          remedy: 'Leave guidance_start and guidance_end out',
        });
      imagePrompts.push({ name, scale, image: readImage(unit, context.image) });
      continue;
    }
    if (module !== '' && module.toLowerCase() !== 'none')
      throw new OptionError(`the preprocessor '${module}' is not supported`, {
        field: at('module'),
        remedy:
          "Send what it would make of the picture, with the module 'none' (or 'ip-adapter-auto' with an IP-Adapter)",
      });
    const image = readImage(unit, context.image);
    checkFit(image, unit.resize_mode ?? 1, context.size);
    controls.push({ name, scale, start, end, image });
    modes.add(readMode(unit));
  }
  if (modes.size > 1)
    throw new OptionError('it differs from unit to unit', {
      field: at('control_mode'),
      remedy: 'Give all units the same',
    });
  const guessMode = modes.has('control');
  return readAdded({ controls, imagePrompts, guessMode }, model, additions, {
    control: at('model'),
    prompt: at('model'),
  });
}

/** The units that are switched on; a script's name may be written in any case. */
function unitsOf(scripts: unknown): Unit[] {
  if (typeof scripts !== 'object' || scripts === null) return [];
  const named: [string, unknown][] = Object.entries(scripts);
  const script = named.find(([name]) => isControlNet(name))?.[1] ?? {};
  const args: unknown = typeof script === 'object' && script !== null && 'args' in script ? script.args : [];
  if (!Array.isArray(args))
    throw new OptionError('is no list of units', { field: at('args'), remedy: 'Send a list' });
  return args.flatMap((unit: unknown) => {
    if (isOff(unit)) return [];
    if (typeof unit === 'object' && unit !== null && 'enabled' in unit && unit.enabled === false) return [];
    if (!UNIT.Check(unit)) throw schemaError(UNIT.Errors(unit), 'a unit', FIELD);
    refuseUnlessNeutral(unit, NEUTRAL, FIELD);
    return [unit];
  });
}

/** Whether a script of `alwayson_scripts` is this one. */
export function isControlNet(script: string): boolean {
  return script.toLowerCase() === 'controlnet';
}

function readImage({ image, input_image }: Unit, fallback: Uint8Array | undefined): Uint8Array {
  const given = image ?? input_image ?? '';
  const base64 = typeof given === 'string' ? given : given.image;
  if (base64 !== '') return readBase64(at('image'), base64);
  if (fallback) return fallback;
  throw new OptionError('is missing', { field: at('image'), remedy: 'Send the picture in base64' });
}

function readMode({ control_mode, guessmode }: Unit): string {
  const mode = MODES.get(control_mode ?? (guessmode === true ? 2 : 0));
  if (mode === undefined || mode === 'prompt')
    throw new OptionError(`'${control_mode}' is not supported`, {
      field: at('control_mode'),
      remedy: "Send 'Balanced' or 'ControlNet is more important'",
    });
  return mode;
}

/** Pictures are stretched to the size of the request; of other proportions only if that is asked for. */
function checkFit(image: Uint8Array, mode: string | number, size: UnitContext['size']): void {
  const field = at('resize_mode');
  if (STRETCH.has(mode)) return;
  if (!KEEP.has(mode))
    throw new OptionError(`'${mode}' is not supported`, { field, remedy: "Send 'Just Resize'" });
  const own = pngSize(image, 'control_image');
  if (size && own.width * size.height !== own.height * size.width)
    throw new OptionError(
      `its picture of ${own.width}x${own.height} has other proportions than ${size.width}x${size.height}`,
      { field, remedy: "Send a picture of the size that is drawn, or 'Just Resize', which stretches it" },
    );
}
