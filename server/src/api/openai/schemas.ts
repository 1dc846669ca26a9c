/** @file OpenAI's images API (https://platform.openai.com/docs/api-reference/images) as schemas, with calotype's additions. */
import { Type, type Static } from '@fastify/type-provider-typebox';
import { SCHEDULER_PRESET_NAMES } from 'calotype';
import { OUTPUT_FORMATS } from '../../draw-request.ts';

const size = Type.String({
  pattern: '^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$',
  description: 'WIDTHxHEIGHT in pixels, or auto for what the model recommends',
});

/** A picture that goes with a ControlNet or an IP-Adapter. */
const prompted = {
  name: Type.String({ maxLength: 128, description: 'One that the server offers with the model' }),
  image: Type.String({ description: 'PNG in base64' }),
  scale: Type.Optional(
    Type.Number({ minimum: -100, maximum: 100, description: 'How much of it counts; default 1' }),
  ),
};
const share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });

/** What generations and edits share. Values with one choice are those that other servers offer more of. */
const shared = {
  prompt: Type.String({ maxLength: 32_000 }),
  model: Type.Optional(Type.String({ description: 'A name that /v1/models lists; default the first' })),
  n: Type.Optional(Type.Integer({ minimum: 1, maximum: 1024 })),
  size: Type.Optional(size),
  response_format: Type.Optional(
    Type.Enum(['b64_json', 'url'], { description: 'url: an address that is good for an hour' }),
  ),
  output_format: Type.Optional(Type.Enum(OUTPUT_FORMATS)),
  output_compression: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 100, description: 'Quality of JPEG and WebP' }),
  ),
  background: Type.Optional(Type.Enum(['auto', 'opaque'])),
  quality: Type.Optional(
    Type.Enum(['auto', 'standard', 'low', 'medium', 'high', 'hd'], {
      description: 'Without effect, which the answer says in notices: steps tell how much work a picture is',
    }),
  ),
  style: Type.Optional(Type.Enum(['vivid', 'natural'], { description: 'Without effect, likewise' })),
  moderation: Type.Optional(Type.Enum(['auto', 'low'])),
  stream: Type.Optional(Type.Boolean({ description: 'Server-sent events with partial images' })),
  partial_images: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 3, description: 'Small previews to send before the picture' }),
  ),
  user: Type.Optional(Type.String({ maxLength: 256, description: 'Not used' })),
  negative_prompt: Type.Optional(Type.String({ maxLength: 32_000, description: 'Of calotype' })),
  seed: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Of calotype; the next pictures take the next numbers',
    }),
  ),
  steps: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'Of calotype' })),
  guidance_scale: Type.Optional(
    Type.Number({ minimum: -10_000, maximum: 10_000, description: 'Of calotype' }),
  ),
  scheduler: Type.Optional(Type.Enum(SCHEDULER_PRESET_NAMES, { description: 'Of calotype' })),
  controlnet: Type.Optional(
    Type.Array(
      Type.Object(
        {
          ...prompted,
          start: Type.Optional(share('Part of the steps after which it takes part; default 0')),
          end: Type.Optional(share('Part of the steps after which it no longer does; default 1')),
        },
        { additionalProperties: false },
      ),
      { maxItems: 16, description: 'Of calotype: ControlNets, each once; in a form as JSON' },
    ),
  ),
  guess_mode: Type.Optional(
    Type.Boolean({
      description: "Of calotype: ControlNets take part in the prompt's half of the guidance only",
    }),
  ),
  ip_adapter: Type.Optional(
    Type.Array(Type.Object(prompted, { additionalProperties: false }), {
      maxItems: 16,
      description: 'Of calotype: IP-Adapters, each once; in a form as JSON',
    }),
  ),
};

export const generationSchema = Type.Object(shared, { additionalProperties: false });
export type Generation = Static<typeof generationSchema>;

const editFields = {
  ...shared,
  input_fidelity: Type.Optional(
    Type.Enum(['low', 'high'], { description: 'Without effect, likewise: strength tells it' }),
  ),
  strength: Type.Optional(
    Type.Number({ minimum: 0, maximum: 1, description: 'Of calotype: how much to change the picture' }),
  ),
};
const file = (description: string) =>
  Type.Unsafe<Uint8Array>({ description, type: 'string', format: 'binary' });

/** Fields of an edit's form, beside its files, as they are once numbers are read. */
export const editFieldsSchema = Type.Object(editFields, { additionalProperties: false });
export type EditFields = Static<typeof editFieldsSchema>;

/** The form, for the document. */
export const editSchema = Type.Object(
  { ...editFields, image: file('PNG'), mask: Type.Optional(file('PNG, transparent where to paint')) },
  { additionalProperties: false },
);

export const imagesSchema = Type.Object({
  created: Type.Integer({ description: 'Unix time in seconds' }),
  data: Type.Array(
    Type.Object({
      b64_json: Type.Optional(Type.String()),
      url: Type.Optional(Type.String()),
      seed: Type.Integer({ description: 'Of calotype: gives this picture again' }),
    }),
  ),
  background: Type.Literal('opaque'),
  output_format: Type.Enum(OUTPUT_FORMATS),
  size: Type.String(),
  notices: Type.Optional(
    Type.Array(Type.String(), { description: 'Of calotype: what had no effect or was cut off' }),
  ),
});

const modelSchema = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer(),
  owned_by: Type.String(),
});
export const modelParametersSchema = Type.Object({ model: Type.String({ maxLength: 256 }) });
export const modelsSchema = Type.Object({ object: Type.Literal('list'), data: Type.Array(modelSchema) });
export { modelSchema };

export const errorSchema = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
  }),
});
