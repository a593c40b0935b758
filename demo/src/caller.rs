//! Who is calling: the bearer token of a request, checked as the services check it (signature and
//! `exp`, no session store), and the rules about what a caller of a given type may touch.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde_json::json;

use crate::platform::Platform;
use crate::problem::{Fault, Problem};
use crate::token::{Claims, Refusal};

/// The verified bearer of a token. As an argument of a handler it makes the route need one.
pub(crate) struct Caller(Claims);

/// The raw `Authorization` header, for auth-jwt, which answers 422 when it is absent and leaves
/// the rest to its handlers.
pub(crate) struct Authorization(String);

impl Caller {
    /// A patient may only use its own id; doctors, institutions and admins may use any.
    pub(crate) fn may_use_patient(&self, id: &str) -> Result<(), Problem> {
        let own = self.0.reference_id.as_ref().unwrap_or(&self.0.user_id);
        self.only_own("patient", own, id)
    }

    /// An institution may only use its own id; other types may use any.
    pub(crate) fn may_use_institution(&self, id: &str) -> Result<(), Problem> {
        let own = self.institution_claim().unwrap_or_default();
        self.only_own("institution", own, id)
    }

    /// The id of the doctor that calls.
    pub(crate) fn doctor(self) -> Result<String, Problem> {
        if self.0.user_type != "doctor" {
            return Err(Problem::forbidden("Acceso denegado: Se requiere rol de Doctor."));
        }
        let claims = self.0;
        Ok(claims.reference_id.or(claims.metadata.reference_id).unwrap_or(claims.user_id))
    }

    /// The id of the institution that calls.
    pub(crate) fn institution(&self) -> Result<String, Problem> {
        if self.0.user_type != "institution" {
            return Err(Problem::forbidden("Este endpoint es solo para instituciones"));
        }
        let id = self.institution_claim();
        id.map(str::to_owned).ok_or_else(|| Problem::bad_request("No se pudo identificar la institución"))
    }

    /// The id of the admin that calls.
    pub(crate) fn admin(self) -> Result<String, Problem> {
        if self.0.user_type != "admin" {
            let actual = &self.0.user_type;
            return Err(Problem::forbidden(format!("Se requiere el tipo de usuario: admin. Usuario actual: {actual}")));
        }
        Ok(self.0.user_id)
    }

    fn institution_claim(&self) -> Option<&str> {
        self.0.metadata.reference_id.as_deref().or(self.0.reference_id.as_deref())
    }

    fn only_own(&self, restricted: &str, own: &str, id: &str) -> Result<(), Problem> {
        if self.0.user_type == restricted && own != id {
            return Err(Problem::forbidden("No tienes permiso para acceder a este recurso"));
        }
        Ok(())
    }
}

impl FromRequestParts<Platform> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, platform: &Platform) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|text| text.strip_prefix("Bearer ")) else {
            return Err(Problem::unauthorized("Token de autorización 'Bearer' requerido"));
        };
        platform.key.verify(token).map(Self).map_err(|refusal| match refusal {
            Refusal::Expired => Problem::unauthorized("Token expirado"),
            Refusal::Invalid => Problem::unauthorized("Token inválido"),
        })
    }
}

impl Authorization {
    /// The token, when the header has the scheme `Bearer`.
    pub(crate) fn token(&self) -> Option<&str> {
        self.0.strip_prefix("Bearer ")
    }

    /// The claims of the token; whatever is wrong with it is one and the same 401.
    pub(crate) fn claims(&self, platform: &Platform) -> Result<Claims, Problem> {
        let verified = self.token().map(|token| platform.key.verify(token));
        match verified {
            Some(Ok(claims)) => Ok(claims),
            Some(Err(Refusal::Expired)) => Err(Problem::unauthorized("Token expirado")),
            _ => Err(Problem::unauthorized("Token inválido")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Authorization {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let missing = || Problem::unfit(vec![Fault::missing().at(&[json!("header"), json!("authorization")])]);
        header.map(|text| Self(text.into_owned())).ok_or_else(missing)
    }
}
