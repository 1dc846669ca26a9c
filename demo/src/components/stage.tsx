/** @file The easel: previews, the finished picture, how far it is, and what went wrong. */
import { useEffect, useRef } from 'preact/hooks';
import { show } from '../pictures.ts';
import { problem, progress } from '../engine.ts';
import { lastRun, setSource, shown, shownIsPreview } from '../studio.ts';

export function Stage() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = shown.value;
  useEffect(() => {
    if (canvas.current && picture) show(canvas.current, picture);
  }, [picture]);
  return (
    <section class="stage" aria-label="Picture">
      <div class="easel">
        {picture ? (
          <canvas
            ref={canvas}
            class={shownIsPreview.value ? 'preview' : 'picture'}
            role="img"
            aria-label={shownIsPreview.value ? 'Preview of the picture' : 'The finished picture'}
          />
        ) : (
          <p class="empty">Your picture will appear here.</p>
        )}
      </div>
      <Status />
      {picture && !shownIsPreview.value && (
        <div class="buttons">
          <button type="button" onClick={() => setSource(picture)}>
            Begin with this picture
          </button>
        </div>
      )}
    </section>
  );
}

function Status() {
  const now = progress.value;
  const run = lastRun.value;
  return (
    <div class="status" role="status">
      {now && (
        <>
          <progress value={now.done} max={now.total} aria-label={now.label} />
          <p>
            {now.label}
            {now.left === undefined ? '' : `, about ${seconds(now.left / 1000)} left`}
          </p>
        </>
      )}
      {!now && run && (
        <p>
          Done in {seconds(run.seconds)}, {seconds(run.perStep)} a step
          {run.bytes === undefined ? '' : `, with ${(run.bytes / 1e6).toFixed(0)} MB of memory at most`}.
        </p>
      )}
      {!now && run && run.cutOff.length > 0 && (
        <p class="notice">The model did not read: {run.cutOff.join(' / ')}</p>
      )}
      {!now && run?.recoveredFrom !== undefined && (
        <p class="notice">
          The picture was {run.recoveredAt > 0 ? `gone on with after step ${run.recoveredAt}` : 'begun again'}{' '}
          on a new device, since {run.recoveredFrom}
        </p>
      )}
      {problem.value && (
        <p class="problem" role="alert">
          {problem.value}
        </p>
      )}
    </div>
  );
}

function seconds(count: number): string {
  if (count >= 90) return `${Math.round(count / 60)} min`;
  return count >= 10 ? `${Math.round(count)} s` : `${count.toFixed(count < 1 ? 2 : 1)} s`;
}
