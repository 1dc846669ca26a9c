/** @file Kinds of fields of stable-diffusion-webui's API, and how its clients name models. */
import { Type, type TSchema } from '@fastify/type-provider-typebox';

/** Optional, and null means absent, as Python's clients write it. */
export const maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

export const text = () => maybe(Type.String({ maxLength: 32_000 }));
export const whole = (minimum: number, maximum: number) => maybe(Type.Integer({ minimum, maximum }));
export const anything = () => Type.Optional(Type.Unknown());

/** "tiny-sd", also with what lists of models put behind it: "tiny-sd.safetensors [0123abcd]". */
export function withoutHash(title: string | undefined): string | undefined {
  return title?.replace(/ \[\w+\]$/, '').replace(/\.safetensors$/, '');
}
