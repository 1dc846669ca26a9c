/** @file `calotype doctor`: what this machine offers, and what to do about what it does not. */
import { access, constants, stat } from 'node:fs/promises';
import { homedir, totalmem, availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { defineCommand } from 'citty';
import { cpu, openBackend, type BackendFactory } from 'calotype';
import { cuda, cudaDevices } from 'calotype/node';
import { surveyAdapters } from '../adapters.ts';
import type { AdapterFacts, AdapterSurvey } from '../adapters.ts';
import { backendsOf, describeAttempt, prepareBackend, readBackend } from '../backends.ts';
import { cacheDirectory } from '../cache.ts';
import { softwareAdapterObstacle } from '../software-adapter.ts';
import { starterModel } from '../starter.ts';

/** One line of the report; `remedy` is there when something is missing. */
interface Finding {
  readonly name: string;
  readonly ok: boolean;
  readonly details: string;
  readonly remedy?: string;
}

export const doctor = defineCommand({
  meta: {
    name: 'doctor',
    description: 'Say what this machine offers, and what to do about what it does not',
  },
  async run() {
    await prepareBackend(readBackend({}));
    const survey = await surveyAdapters();
    const findings = [
      nodeFinding(),
      hostFinding(),
      await cudaFinding(),
      hardwareFinding(survey),
      await backendFinding(cpu()),
      softwareFinding(survey),
      { name: 'reference', ok: true, details: 'plain TypeScript, float32: exact and very slow' },
      starterFinding(),
      await cacheFinding('calotype cache', cacheDirectory()),
      await cacheFinding('model cache', hubCacheDirectory()),
    ];
    for (const finding of findings) process.stdout.write(`${render(finding)}\n`);
    process.stdout.write(`\n${await verdict()}\n`);
  },
});

function nodeFinding(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  const details = `Node ${process.version} on ${process.platform} ${process.arch}`;
  return ok
    ? { name: 'runtime', ok, details }
    : { name: 'runtime', ok, details, remedy: 'Install Node 20.19 or later.' };
}

function hostFinding(): Finding {
  return {
    name: 'host',
    ok: true,
    details: `${availableParallelism()} cores, ${bytes(totalmem())} of memory`,
  };
}

function hardwareFinding({ adapters, problem }: AdapterSurvey): Finding {
  const name = 'webgpu';
  const hardware = adapters.filter(({ kind }) => kind === 'hardware');
  if (hardware.length > 0) return { name, ok: true, details: hardware.map(describe).join('; ') };
  if (problem !== undefined) return { name, ok: false, details: problem, remedy: DAWN_REMEDY };
  return {
    name,
    ok: false,
    details: 'Dawn finds no hardware adapter',
    remedy:
      process.platform === 'linux'
        ? 'If there is a GPU, install its Vulkan driver (Debian: mesa-vulkan-drivers, or nvidia-driver with libnvidia-gl), ' +
          'make sure that you may open /dev/dri/renderD*, and check with `vulkaninfo --summary`.'
        : "If there is a GPU, update its driver and this system's graphics libraries.",
  };
}

/** What the CUDA backend is, and all cards by what --device takes. */
async function cudaFinding(): Promise<Finding> {
  const finding = await backendFinding(cuda());
  const cards = finding.ok ? await cudaDevices() : [];
  if ('reason' in cards) return finding;
  const listed = cards.map(
    ({ device, uuid, name, totalBytes }) => `--device ${device} or ${uuid}: ${name}, ${bytes(totalBytes)}`,
  );
  return { ...finding, details: [finding.details, ...listed].join('; ') };
}

/** What a backend is that can only be had or not. */
async function backendFinding(factory: BackendFactory): Promise<Finding> {
  const { name } = factory;
  const opened = await factory.open();
  if ('reason' in opened) return { name, ok: false, details: opened.reason, remedy: opened.remedy };
  opened.dispose();
  return { name, ok: true, details: opened.description };
}

/** Software adapters are for comparisons, and asked for by name; the command brings one with it where it can. */
function softwareFinding({ adapters, problem }: AdapterSurvey): Finding {
  const name = 'webgpu (software)';
  const obstacle = problem ?? softwareAdapterObstacle();
  const installed = adapters.filter(({ kind }) => kind === 'software').map(describe);
  if (obstacle === undefined) installed.push('SwiftShader, unpacked when it is asked for');
  if (problem === undefined && installed.length > 0)
    return { name, ok: true, details: `${installed.join('; ')} (--backend webgpu --adapter software, slow)` };
  return {
    name,
    ok: false,
    details: obstacle ?? 'there is none',
    remedy: problem ? DAWN_REMEDY : 'Use --backend cpu instead.',
  };
}

function starterFinding(): Finding {
  const name = 'starter model';
  try {
    return { name, ok: true, details: starterModel() };
  } catch {
    return {
      name,
      ok: false,
      details: '@calotype/emoji-starter is not installed',
      remedy: 'Run `npm install` again, or name a model with --model.',
    };
  }
}

async function cacheFinding(name: string, folder: string): Promise<Finding> {
  const existing = await nearestExisting(folder);
  try {
    await access(existing, constants.W_OK);
    return { name, ok: true, details: existing === folder ? folder : `${folder} (made when it is needed)` };
  } catch {
    const variable = name === 'model cache' ? 'HF_HUB_CACHE' : 'XDG_CACHE_HOME';
    return {
      name,
      ok: false,
      details: `${existing} cannot be written`,
      remedy: `Set ${variable} to a folder that you may write to.`,
    };
  }
}

/** The Hugging Face Hub cache: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub (huggingface_hub's rule). */
function hubCacheDirectory(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  return join(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'), 'hub');
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch {
    return dirname(path) === path ? path : nearestExisting(dirname(path));
  }
}

/** What `calotype generate` will do on this machine, and why not something better. */
async function verdict(): Promise<string> {
  const skipped: string[] = [];
  const backend = await openBackend(backendsOf(readBackend({})), {
    onSkipped: (attempt) => void skipped.push(describeAttempt(attempt)),
  });
  backend.dispose();
  return [
    `calotype generate would use: ${backend.name} (${backend.description})`,
    ...(backend.lacks ?? []),
    ...skipped,
  ].join('\n');
}

function describe({ name, vendor, architecture, f16, subgroups, ...limits }: AdapterFacts): string {
  return [
    `${name} (${[vendor, architecture].filter(Boolean).join(' ')})`,
    f16 ? 'f16' : 'no f16',
    subgroups ? `subgroups of ${[...new Set(subgroups)].join(' to ')}` : 'no subgroups',
    `buffers up to ${bytes(limits.maxBufferSize)}, bindings up to ${bytes(limits.maxStorageBufferBindingSize)}`,
  ].join(', ');
}

function render({ name, ok, details, remedy }: Finding): string {
  const line = `${ok ? 'yes' : 'no '}  ${name.padEnd(18)} ${details}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(24)}-> ${remedy}`;
}

const bytes = (count: number): string =>
  count >= 2 ** 30
    ? `${(count / 2 ** 30).toFixed(count % 2 ** 30 === 0 ? 0 : 1)} GiB`
    : `${Math.round(count / 2 ** 20)} MiB`;

const DAWN_REMEDY =
  'Dawn (npm `webgpu`) has builds for glibc Linux, macOS and Windows on x64 and arm64; run `npm install` again there.';
