// Calls to the gateway: same origin, JSON, the session in a cookie that no script can read.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What an error answer says to a person: `detail`, else `message`, else `error`. */
function words(body, status) {
  for (const said of [body?.detail, body?.message, body?.error]) {
    if (typeof said === 'string' && said) return said;
    if (Array.isArray(said)) {
      const parts = said.map((part) => part?.msg ?? part?.message).filter((part) => typeof part === 'string');
      if (parts.length) return parts.join('. ');
    }
  }
  if (status === 429) return 'Demasiados intentos. Espere un momento.';
  return status >= 500 ? 'El servicio no está disponible en este momento.' : 'No se pudo completar la petición.';
}

/** Sends one request. `accept` names error statuses whose body is wanted all the same. */
export async function call(path, { method = 'GET', body, accept = [], stay = false } = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let reply;
  try {
    reply = await fetch(path, {
      method, headers, credentials: 'same-origin', cache: 'no-store',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, 'No hay conexión con el servidor. Revise su red e intente de nuevo.');
  }
  const read = reply.status === 204 ? null : await reply.json().catch(() => undefined);
  if (reply.status === 401 && !stay) {
    leave('expired');
    await new Promise(() => {}); // the page is on its way out: nothing may be drawn any more
  }
  if (!reply.ok && !accept.includes(reply.status)) throw new ApiError(reply.status, words(read, reply.status));
  if (read === undefined) throw new ApiError(reply.status, 'El servidor dio una respuesta que no se entiende.');
  return read;
}

/** The `data` of an answer in the envelope `{status, message, data}`. */
export const data = async (path) => (await call(path)).data ?? {};

/** Back to the landing page, which says why; the page is remembered for after the sign-in. */
export function leave(why) {
  if (why === 'expired') sessionStorage.setItem('next', location.pathname);
  sessionStorage.removeItem('type');
  location.replace(why === 'expired' ? '/index.html?show_login=true&expired=true' : '/index.html');
}
