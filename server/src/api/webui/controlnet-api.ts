/** @file sd-webui-controlnet's own routes, which its clients ask before they send units. */
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox';
import { answerErrors } from '../app-errors.ts';
import type { Additions } from '../additions.ts';
import { webuiError } from './answers.ts';
import { errorSchema } from './schemas.ts';

/** The extension's version of its API whose units are read. */
const VERSION = 3;

/** Mount it at `/controlnet`. */
export const controlnetApi: FastifyPluginAsyncTypebox<{ readonly additions: Additions }> = async (
  app,
  { additions: { controlnets, ipAdapters } },
) => {
  app.setErrorHandler(answerErrors(webuiError));
  const errors = { '4xx': errorSchema, '5xx': errorSchema };
  const names = [...new Set([...controlnets, ...ipAdapters].map(({ name }) => name))];
  const modules = ipAdapters.length > 0 ? ['none', 'ip-adapter-auto'] : ['none'];

  app.get(
    '/version',
    {
      schema: {
        summary: "The extension's version",
        response: { 200: Type.Object({ version: Type.Integer() }), ...errors },
      },
    },
    async () => ({ version: VERSION }),
  );
  app.get(
    '/model_list',
    {
      schema: {
        summary: 'ControlNets and IP-Adapters that units may name',
        querystring: Type.Object({
          update: Type.Optional(Type.Enum(['true', 'false', 'True', 'False'])),
        }),
        response: { 200: Type.Object({ model_list: Type.Array(Type.String()) }), ...errors },
      },
    },
    async () => ({ model_list: names }),
  );
  app.get(
    '/module_list',
    {
      schema: {
        summary: 'There are no preprocessors',
        querystring: Type.Object({
          alias_names: Type.Optional(Type.Enum(['true', 'false', 'True', 'False'])),
        }),
        response: {
          200: Type.Object({
            module_list: Type.Array(Type.String()),
            module_detail: Type.Record(Type.String(), Type.Unknown()),
          }),
          ...errors,
        },
      },
    },
    async () => ({ module_list: modules, module_detail: {} }),
  );
  app.get(
    '/settings',
    {
      schema: {
        summary: 'Units of a request at most',
        response: { 200: Type.Object({ control_net_unit_count: Type.Integer() }), ...errors },
      },
    },
    async () => ({ control_net_unit_count: names.length }),
  );
};
