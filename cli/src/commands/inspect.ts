/** @file `calotype inspect`: what a model will do: programs, fusions made and refused, memory, FLOPs. No weights are read. */
import {
  type Backend,
  type BackendFactory,
  DiffusionPipeline,
  inspectModel,
  isWeightFile,
  openBackend,
  openModel,
  openSingleFile,
  type ModelReport,
  type ModelSource,
  type NetworkReport,
  type ProgramReport,
} from 'calotype';
import { defineCommand } from 'citty';
import { BUDGET_ARGS, formatPlan, readBudget, slowdownOf } from '../budget.ts';
import { BACKEND_ARGS, backendsOf, describeAttempt, prepareBackend, readBackend } from '../backends.ts';
import { COMPONENT_ARGS, componentBackendsOf, readComponentBackends } from '../component-backends.ts';
import { listOf } from '../arguments.ts';
import { readChoice, readInteger, readSize } from '../options.ts';
import { starterModel } from '../starter.ts';
import { binaryBytes, decimal, table } from '../table.ts';

export const inspect = defineCommand({
  meta: { name: 'inspect', description: 'Print what a model will do: ops, fusions, memory plan, FLOPs' },
  args: {
    model: {
      type: 'positional',
      required: false,
      description: 'Folder, Hub id or .safetensors file (the starter model); no weights are read',
    },
    size: { type: 'string', valueHint: 'WxH', description: 'Pixels (what the model was trained at)' },
    steps: {
      type: 'string',
      valueHint: 'n',
      description: 'Steps of a schedule, for the tables made for all steps (50)',
    },
    dtype: {
      type: 'string',
      valueHint: 'f16|f32',
      description: 'Storage of weights, and of activations where the device computes in f16 (f16 if it does)',
    },
    controlnet: {
      type: 'string',
      valueHint: 'model',
      description:
        'Folders or Hub ids of ControlNets that run with the UNet, several with commas between them',
    },
    ...BACKEND_ARGS,
    ...COMPONENT_ARGS,
    ...BUDGET_ARGS,
    graph: { type: 'boolean', description: 'Also list every dispatch with its shape and place' },
  },
  async run({ args }) {
    const size = args.size === undefined ? {} : readSize('--size', args.size);
    const steps = args.steps === undefined ? {} : { steps: readInteger('--steps', args.steps, { min: 1 }) };
    const choice = readBackend(args);
    const components = readComponentBackends(args);
    const memory = readBudget(args);
    const nets = listOf(args.controlnet);
    const dtype = args.dtype === undefined ? undefined : readChoice('--dtype', args.dtype, ['f16', 'f32']);
    await prepareBackend(choice, components);
    const controlnets = await Promise.all(nets.map((net) => openModel(net)));
    const { source, close } = await openSource(args.model ?? starterModel());
    const opened: Backend[] = [];
    const open = async (factories: readonly BackendFactory[], title: string) => {
      const backend = await openBackend(factories, {
        onSkipped: (attempt) => process.stderr.write(`note: ${describeAttempt(attempt)}\n`),
      });
      opened.push(backend);
      const storage = dtype ?? (backend.dtypes.includes('f16') ? 'f16' : 'f32');
      process.stdout.write(`${title} ${backend.name} (${backend.description}), ${storage}\n`);
      return { backend, storage, target: backend.target(storage) };
    };
    try {
      const { backend, storage, target } = await open(backendsOf(choice), 'for');
      const componentBackends = componentBackendsOf(components);
      const elsewhere: [component: string, target: typeof target][] = [];
      for (const [component, factory] of Object.entries(componentBackends))
        elsewhere.push([component, (await open([factory], `${component} on`)).target]);
      const componentTargets = Object.fromEntries(elsewhere);
      const report = await inspectModel(source, { target, componentTargets, controlnets, ...size, ...steps });
      process.stdout.write(`${formatModel(report, args.graph === true)}\n`);
      if (memory) {
        const pipe = await DiffusionPipeline.fromPretrained(source, {
          memory,
          dtype: storage,
          backends: backendsOf(choice),
          ...(components.size > 0 && { componentBackends }),
          ...(nets.length > 0 && { controlnet: nets }),
        });
        try {
          const { width, height } = report;
          const blank = { width, height, data: new Uint8ClampedArray(width * height * 4) };
          const plan = pipe.memoryPlan({
            prompt: '',
            ...(nets.length > 0 && { controlImage: nets.map(() => blank) }),
            ...size,
            ...(steps.steps !== undefined && { numInferenceSteps: steps.steps }),
          });
          const step = report.networks
            .flatMap(({ programs }) => programs)
            .find(({ name }) => name === 'latent');
          const slowdown = step && slowdownOf(plan, step.flops, await backend.measurePeak?.(storage));
          process.stdout.write(`${formatPlan(plan, slowdown)}\n`);
        } finally {
          await pipe.dispose();
        }
      }
    } finally {
      for (const backend of opened) backend.dispose();
      await close();
    }
  },
});

/** A model's folder, or a checkpoint as one. */
async function openSource(model: string): Promise<{ source: ModelSource; close(): Promise<void> }> {
  if (!isWeightFile(model)) return { source: await openModel(model), close: () => Promise.resolve() };
  const checkpoint = await openSingleFile(model);
  return { source: checkpoint.model, close: () => checkpoint.close() };
}

/** The whole report as text. */
export function formatModel(report: ModelReport, dispatches: boolean): string {
  const head = `${report.name}: ${report.className}`;
  const notices = report.notices.map((notice) => `note: ${notice}`);
  return [head, ...notices, ...report.networks.map((network) => formatNetwork(network, dispatches))].join(
    '\n',
  );
}

function formatNetwork(network: NetworkReport, dispatches: boolean): string {
  const { name, unfusedOps, programs, passes, weightBytes } = network;
  const rows = programs.map(({ name: program, opsBefore, plan, flops }) => [
    program,
    String(opsBefore),
    String(plan.dispatches.length),
    decimal(flops),
    binaryBytes(plan.memory.unplannedBytes),
    binaryBytes(plan.memory.largestLiveSetBytes),
    binaryBytes(plan.memory.arenaBytes),
  ]);
  const header = ['program', 'ops', 'dispatches', 'FLOPs', 'unplanned', 'largest live', 'arena'];
  return [
    `\n${name}: ${unfusedOps} ops unfused, ${binaryBytes(weightBytes)} of weights`,
    indent(table([header, ...rows])),
    ...(passes.length > 0 ? [indent('before the split by rate:'), indent(formatPasses(passes), 4)] : []),
    ...programs.flatMap((program) => [
      indent(`passes of ${program.name}:`),
      indent(formatPasses(program.plan.passes), 4),
      ...(dispatches ? [indent(`dispatches of ${program.name}:`), indent(formatDispatches(program), 4)] : []),
    ]),
  ].join('\n');
}

/** What passes did and why they refused; those that found nothing to do are left out. */
function formatPasses(passes: NetworkReport['passes']): string {
  const busy = passes.filter(({ applied, refused }) => applied > 0 || Object.keys(refused).length > 0);
  const lines = busy.map(({ pass, opsBefore, opsAfter, applied, refused }) => {
    const reasons = Object.entries(refused).map(([reason, count]) => `\n  left alone ${count}: ${reason}`);
    return `${pass}: ${applied} times, ${opsBefore} -> ${opsAfter} ops${reasons.join('')}`;
  });
  return lines.join('\n') || 'nothing to do';
}

function formatDispatches({ plan }: ProgramReport): string {
  return table(
    plan.dispatches.map(({ node, kernel, inPlace }) => {
      const value = plan.values.get(node.output);
      const place =
        value?.place.kind === 'arena'
          ? `buffer ${value.place.buffer} at ${value.place.offset}`
          : (value?.place.kind ?? '');
      return [
        kernel,
        `[${value?.shape.join(', ') ?? ''}]`,
        inPlace === undefined ? place : `${place}, over ${inPlace}`,
        node.name,
      ];
    }),
    [0, 1, 2, 3],
  );
}

function indent(text: string, columns = 2): string {
  return text.replaceAll(/^/gm, ' '.repeat(columns));
}
