/** @file The ControlNet, and the picture that it sees. */
import { useEffect, useRef } from 'preact/hooks';
import type { CalotypeImage } from 'calotype/worker';
import { busy } from '../engine.ts';
import { controlNet, model, setControlNet } from '../models.ts';
import { show } from '../pictures.ts';
import { change, settings } from '../settings.ts';
import { controlImage, takeControlImage } from '../studio.ts';
import { AddressField, FileField, Panel, pickedFolder, RangeField } from './field.tsx';

export function ControlPanel() {
  const net = controlNet.value;
  const disabled = busy.value || !model.value;
  return (
    <Panel title={`ControlNet: ${net?.name ?? 'none'}`}>
      <AddressField
        label="Hub id or address of a ControlNet"
        placeholder="lllyasviel/sd-controlnet-canny"
        action="Load"
        disabled={disabled}
        onGive={(address) => void setControlNet({ name: address, from: address })}
      />
      <FileField
        label="A ControlNet (.safetensors)"
        accept=".safetensors"
        disabled={disabled}
        onPick={([file]) => void setControlNet({ name: file.name, from: { name: file.name, file } })}
      />
      <FileField
        label="A ControlNet’s diffusers folder"
        disabled={disabled}
        onPick={(files) => {
          const folder = pickedFolder(files);
          void setControlNet({ name: folder.name, from: folder });
        }}
      />
      {net && <Control />}
    </Panel>
  );
}

function Control() {
  const image = controlImage.value;
  return (
    <>
      <FileField
        label="What it sees: edges, depths, poses, as the net was trained"
        accept="image/*"
        onPick={([file]) => void takeControlImage(file)}
      />
      {image ? <Seen image={image} /> : <p class="notice">Without a picture the ControlNet does nothing.</p>}
      <RangeField
        label="How much it counts"
        value={settings.value.controlScale}
        min={0}
        max={2}
        step={0.05}
        onChange={(value) => change({ controlScale: value })}
      />
      <div class="buttons">
        <button type="button" disabled={!image} onClick={() => (controlImage.value = undefined)}>
          Remove picture
        </button>
        <button type="button" disabled={busy.value} onClick={() => void setControlNet(undefined)}>
          Remove ControlNet
        </button>
      </div>
    </>
  );
}

function Seen({ image }: { readonly image: CalotypeImage }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current) show(canvas.current, image);
  }, [image]);
  return <canvas ref={canvas} class="seen" role="img" aria-label="What the ControlNet sees" />;
}
