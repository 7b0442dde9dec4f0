// A certified OpenID Connect provider (npm oidc-provider) on a loopback address, with two people. It is
// not ours: what it refuses, a provider of the field would refuse.
import { createServer } from 'node:http';

/** Starts it; `callback` and `afterLogout` are the addresses that the app registration lists. */
export async function startProvider({ callback, afterLogout, clientId, clientSecret, port }) {
  const { Provider } = await import('oidc-provider');
  const issuer = `http://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [callback],
      post_logout_redirect_uris: [afterLogout],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    }],
    claims: { openid: ['sub'], email: ['email'], profile: ['name', 'preferred_username'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({
        sub: id, name: `${id} Example`, preferred_username: `${id}@example.com`, email: `${id}@example.com`,
      }),
    }),
    cookies: { keys: ['of a test'] },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
  });
  const server = createServer(provider.callback());
  await new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
  const stop = () => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  });
  return { issuer, stop };
}
