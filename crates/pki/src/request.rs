//! Requests for certificates (PKCS #10, RFC 2986), for authorities that are kept elsewhere.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use crate::authority::{encode, parameters};
use crate::certificate::names;
use crate::{AuthorityError, PrivateKey, Profile, San};

/// A request, PEM, signed by the key that the certificate is to be for. It asks for the profile's subject, names and uses;
/// how long the certificate is valid is the authority's to say.
///
/// # Errors
/// [`AuthorityError::Encode`].
pub fn request(profile: &Profile, key: &PrivateKey) -> Result<String, AuthorityError> {
    let fail = |e: rcgen::Error| encode(&profile.common_name, &e);
    let asked = parameters(profile)?
        .serialize_request(key.pair())
        .map_err(fail)?;
    asked.pem().map_err(fail)
}

/// Whether a text is a request for this profile and this key.
pub fn asks_for(text: &[u8], profile: &Profile, key: &PrivateKey) -> bool {
    let block = Pem::iter_from_buffer(text).find_map(Result::ok);
    let Some(block) = block.filter(|block| block.label == "CERTIFICATE REQUEST") else {
        return false;
    };
    let Ok((_, asked)) = X509CertificationRequest::from_der(&block.contents) else {
        return false;
    };
    let subject = &asked.certification_request_info.subject;
    let name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    let own = &asked
        .certification_request_info
        .subject_pki
        .subject_public_key
        .data;
    let mut sans: Vec<San> = asked
        .requested_extensions()
        .into_iter()
        .flatten()
        .filter_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(found) => Some(names(&found.general_names)),
            _ => None,
        })
        .flatten()
        .collect();
    let mut wanted = profile.sans.clone();
    sans.sort();
    wanted.sort();
    name == Some(profile.common_name.as_str()) && own[..] == *key.public_bits() && sans == wanted
}
