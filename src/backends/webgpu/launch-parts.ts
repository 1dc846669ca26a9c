/**
 * @file Launches in parts: ranges of workgroups that go to the device one after the other. Workgroups do not know of each
 * other, so that parts compute the same bits; shaders are told where their part begins, and how many workgroups there are
 * in all, by their `Dims`.
 */
import type { Shader } from '../../kernels/wgsl.ts';
import type { PlannedLaunch } from './recording.ts';

/** Splits the launches whose work is over a limit, as far as they have workgroups. */
export function splitLaunches(launches: readonly PlannedLaunch[], limit: number): readonly PlannedLaunch[] {
  return launches.flatMap((planned) => (planned.work > limit ? partsOf(planned, limit) : [planned]));
}

function partsOf(planned: PlannedLaunch, limit: number): PlannedLaunch[] {
  const { launch, work } = planned;
  const all = launch.workgroups;
  const axis = all.indexOf(Math.max(...all));
  const each = Math.ceil(all[axis] / Math.ceil(work / limit));
  const shader = shaderOfPart(planned.shader);
  const parts: PlannedLaunch[] = [];
  for (let first = 0; first < all[axis]; first += each) {
    const count = Math.min(each, all[axis] - first);
    const [x, y, z] = all.map((size, i) => (i === axis ? count : size));
    const [firstX, firstY, firstZ] = all.map((_, i) => (i === axis ? first : 0));
    const [allX, allY, allZ] = all;
    const dims = { ...launch.dims, firstX, firstY, firstZ, allX, allY, allZ };
    parts.push({
      ...planned,
      launch: { ...launch, workgroups: [x, y, z], dims },
      shader,
      work: (work * count) / all[axis],
    });
  }
  return parts;
}

const DIMS = ['firstX', 'firstY', 'firstZ', 'allX', 'allY', 'allZ'];
const shaders = new WeakMap<Shader, Shader>();

/** A shader whose `group` is counted from the first of all workgroups, and whose `groups` are all of them. */
export function shaderOfPart(shader: Shader): Shader {
  const known = shaders.get(shader);
  if (known) return known;
  const members = DIMS.map((name) => `${name}: u32, `).join('');
  const code = shader.code
    .replace('struct Dims { ', `$&${members}`)
    .replace('@builtin(workgroup_id) group: vec3u', '@builtin(workgroup_id) groupOfPart: vec3u')
    .replace('@builtin(num_workgroups) groups: vec3u,\n', '')
    .replace(
      /fn main\([^{]*\{/,
      `$&
let group = groupOfPart + vec3u(dims.firstX, dims.firstY, dims.firstZ);
let groups = vec3u(dims.allX, dims.allY, dims.allZ);`,
    );
  const made = { ...shader, code, dims: [...DIMS, ...shader.dims] };
  shaders.set(shader, made);
  return made;
}
