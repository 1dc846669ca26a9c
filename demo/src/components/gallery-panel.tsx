/** @file The pictures that were made. */
import { download } from '../pictures.ts';
import { discard, gallery } from '../gallery.ts';
import { reuse } from '../studio.ts';

export function GalleryPanel() {
  const pictures = gallery.value;
  return (
    <section class="gallery" aria-label="Gallery">
      <h2>Gallery</h2>
      {pictures.length === 0 ? (
        <p>Pictures that you make are kept here, on this computer, each with what made it.</p>
      ) : (
        <ul>
          {pictures.map((kept) => (
            <li key={kept.name}>
              <button
                type="button"
                class="thumb"
                title="Use its prompt and settings again"
                onClick={() => void reuse(kept.file)}
              >
                <img src={kept.url} alt={`Picture ${kept.name}`} loading="lazy" />
              </button>
              <div class="buttons">
                <button type="button" onClick={() => download(kept.file, kept.name)}>
                  Save
                </button>
                <button type="button" onClick={() => void discard(kept)}>
                  Delete
                </button>
              </div>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
